"""Voices, sung or spoken, before music: Spleeter over a sound of any length, in windows, with flat memory and no seams.

Hennequin et al., "Spleeter: a fast and efficient music source separation tool with pre-trained models", 2020. It was
made for 44.1 kHz; frames are longer here, so that its bins lie where they lay (within 0.2 %).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from stemline_server.engines.base import AudioSource, Waveform
from stemline_server.engines.embedded.spooled_source import Judged, Kept, opened

if TYPE_CHECKING:
    from stemline_server.engines.embedded.spleeter_unet import UNet

FRAME_SAMPLES = 4_464
HOP_SAMPLES = FRAME_SAMPLES // 4
_LEVEL = 4_096 / FRAME_SAMPLES
"""Shorter frames, those it knows, hold less energy."""
_WINDOW_FRAMES = 512
_FADE_FRAMES = 64
_TOP_BINS = 128
"""It hears up to 11 kHz; above, the mean of its highest bins goes on."""

_TENTH = 4_800
_THERE_FROM = 0.05
"""Share of the energy of a tenth of a second; what Spleeter leaves of an orchestra or of noise is mostly below."""
_FEWEST_TENTHS = 3
_SURE_AT = 0.5

Shares = npt.NDArray[np.float32]
Spectra = npt.NDArray[np.complex64]


class Vocals(Kept):
    """The voices in another sound, one channel at 48 kHz, and silence where Spleeter finds next to nothing."""

    def __init__(
        self, audio: AudioSource, nets: tuple[UNet, UNet], tick: Callable[[], None], folder: Path | None = None
    ) -> None:
        super().__init__(audio, opened(_judged(audio, nets), self._hear), tick, folder)
        self.confidence = 0.0

    def _hear(self, shares: Shares) -> bool:
        """How sure it is: as what the voices have of the energy in the clearest half second within any five."""
        clear = float(np.sort(shares)[-min(5, shares.size)])
        self.confidence = max(self.confidence, min(1.0, clear / _SURE_AT))
        return int(np.sum(shares > _THERE_FROM)) >= min(_FEWEST_TENTHS, shares.size)


def _judged(audio: AudioSource, nets: tuple[UNet, UNet]) -> Iterator[Judged]:
    """In blocks of a second, each with the share of the energy in every tenth of it that is voice."""
    start = 0
    for block in vocal_blocks(audio, nets):
        for first in range(0, block.shape[1], 10 * _TENTH):
            voice = block[:, first : first + 10 * _TENTH]
            mix = audio.read(start, start + voice.shape[1])
            yield Judged(voice, _by_tenths(voice) / (_by_tenths(mix) + np.float32(1e-9)))
            start += voice.shape[1]


def _by_tenths(wave: Waveform) -> Shares:
    """Mean energy of each tenth of a second, [1, n] to [tenths]."""
    padded = np.pad(wave[0], (0, -wave.shape[1] % _TENTH))
    return np.asarray(np.square(padded).reshape(-1, _TENTH).mean(axis=1), np.float32)


def vocal_blocks(audio: AudioSource, nets: tuple[UNet, UNet]) -> Iterator[Waveform]:
    """The voices in a one-channel source at 48 kHz: blocks [1, n], together exactly as long as it."""
    length = audio.length_samples
    frames = -(-length // HOP_SAMPLES) + 3
    emitted = 0
    faded = np.zeros((0, FRAME_SAMPLES // 2 + 1), np.float32)
    tail = np.zeros(FRAME_SAMPLES - HOP_SAMPLES, np.float32)
    while emitted < frames:
        start = max(min(emitted, frames - _WINDOW_FRAMES), 0)
        end = min(start + _WINDOW_FRAMES, frames)
        spectra = _spectra(audio, start, end)
        shares = _shares(np.abs(spectra), nets)[emitted - start :]
        ramp = np.linspace(0, 1, len(faded), dtype=np.float32)[:, None]
        shares[: len(faded)] = faded * (1 - ramp) + shares[: len(faded)] * ramp
        keep = len(shares) if end == frames else len(shares) - _FADE_FRAMES
        faded = shares[keep:].copy()
        wave, tail = _overlap_add(spectra[emitted - start :][:keep] * shares[:keep], tail)
        begin = (emitted - 3) * HOP_SAMPLES
        emitted += keep
        block = wave[None, max(-begin, 0) : length - begin]
        if block.size:
            yield block


def _spectra(audio: AudioSource, start: int, end: int) -> Spectra:
    """[frames, bins] of frames [start, end): frame f begins at sample (f - 3) * HOP_SAMPLES."""
    first, last = (start - 3) * HOP_SAMPLES, (end - 4) * HOP_SAMPLES + FRAME_SAMPLES
    length = audio.length_samples
    inside = audio.read(min(max(first, 0), length), min(max(last, 0), length))[0]
    wave = np.pad(inside, (max(-first, 0), max(last - max(length, first, 0), 0)))
    framed = np.lib.stride_tricks.sliding_window_view(wave, FRAME_SAMPLES)[::HOP_SAMPLES]
    return np.asarray(np.fft.rfft(framed * _window()), np.complex64)


def _shares(magnitudes: Shares, nets: tuple[UNet, UNet]) -> Shares:
    """How much of each bin is voice, by energy, with both nets' word: [frames, bins] to the same."""
    import torch  # noqa: PLC0415 - only where vocals are asked for

    from stemline_server.engines.embedded.spleeter_unet import BINS  # noqa: PLC0415

    with torch.inference_mode():
        mono = torch.from_numpy(magnitudes[:, :BINS] * np.float32(_LEVEL))
        mono = torch.nn.functional.pad(mono, (0, 0, 0, _WINDOW_FRAMES - len(mono)))
        both = mono.expand(1, 2, -1, -1).contiguous()
        voice, rest = (net(both).mean(1)[0, : len(magnitudes)] ** 2 for net in nets)
        share = ((voice + 5e-11) / (voice + rest + 1e-10)).numpy()
    above = share[:, -_TOP_BINS:].mean(axis=1, keepdims=True)
    return np.concatenate([share, np.broadcast_to(above, (len(share), magnitudes.shape[1] - BINS))], axis=1)


def _overlap_add(spectra: Spectra, tail: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float32], ...]:
    """The samples [frames * HOP_SAMPLES] that are finished, and those still to be added to."""
    frames = np.fft.irfft(spectra, FRAME_SAMPLES).astype(np.float32) * (_window() / np.float32(1.5))
    wave = np.zeros(len(frames) * HOP_SAMPLES + tail.size, np.float32)
    wave[: tail.size] = tail
    for part in range(4):
        piece = frames[:, part * HOP_SAMPLES : (part + 1) * HOP_SAMPLES]
        wave[part * HOP_SAMPLES :][: piece.size] += piece.reshape(-1)
    return wave[: -tail.size], wave[-tail.size :]


def _window() -> npt.NDArray[np.float32]:
    """A Hann window: applied twice, at hops of a quarter, it sums to 1.5."""
    return (np.sin(np.pi * np.arange(FRAME_SAMPLES) / FRAME_SAMPLES) ** 2).astype(np.float32)
