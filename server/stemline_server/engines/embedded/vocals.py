"""Voices, sung or spoken, over music, by Spleeter, for sound of any length.

Hennequin et al., "Spleeter: a fast and efficient music source separation tool with pre-trained models", 2020. The nets
run in overlapping windows that crossfade, so memory use is constant and there are no seams. Spleeter was trained at
44.1 kHz; frames are longer here, so that the bins have the same frequencies as in training (within 0.2 %).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from stemline_server.engines.base import AudioSource, Waveform
from stemline_server.engines.embedded import second_core
from stemline_server.engines.embedded.spooled_source import ScoredBlock, SpooledSource, gate_blocks

if TYPE_CHECKING:
    from torch import Tensor

    from stemline_server.engines.embedded.spleeter_unet import UNet

FRAME_SAMPLES = 4_464
HOP_SAMPLES = FRAME_SAMPLES // 4
_LEVEL = 4_096 / FRAME_SAMPLES
"""Scales magnitudes to those of the shorter frames of the training."""
_WINDOW_FRAMES = 512
_FADE_FRAMES = 64
_TOP_BINS = 128
"""Spleeter covers frequencies up to 11 kHz; the mean mask of its highest bins is used above that."""

_TENTH_SAMPLES = 4_800
_ACTIVE_SHARE = 0.05
"""Share of the energy in a tenth of a second. What Spleeter passes of an orchestra or of noise is mostly below."""
_MIN_ACTIVE_TENTHS = 3
_FULL_CONFIDENCE_SHARE = 0.5

Shares = npt.NDArray[np.float32]
Spectra = npt.NDArray[np.complex64]


class VocalsSource(SpooledSource):
    """Provide the voices of another source, one channel at 48 kHz, and silence where Spleeter finds next to nothing.

    Attributes:
        confidence: How certain it is that the part computed so far contains a voice, 0..1.
    """

    def __init__(
        self, audio: AudioSource, nets: tuple[UNet, UNet], tick: Callable[[], None], folder: Path | None = None
    ) -> None:
        """Create the source without computing anything yet.

        Args:
            audio: The mix.
            nets: Spleeter's nets for vocals and accompaniment.
            tick: Called before each block is computed; may raise to stop.
            folder: Folder of the temporary file. None for the system's own.
        """
        super().__init__(audio, gate_blocks(_scored_blocks(audio, nets), self._is_voice), tick, folder)
        self.confidence = 0.0

    def _is_voice(self, shares: Shares) -> bool:
        """Decide from the voice's shares of energy in five seconds; update the confidence from the best half second."""
        best = float(np.sort(shares)[-min(5, shares.size)])
        self.confidence = max(self.confidence, min(1.0, best / _FULL_CONFIDENCE_SHARE))
        return int(np.sum(shares > _ACTIVE_SHARE)) >= min(_MIN_ACTIVE_TENTHS, shares.size)


def _scored_blocks(audio: AudioSource, nets: tuple[UNet, UNet]) -> Iterator[ScoredBlock]:
    """Yield blocks of one second, scored by the voice's share of the energy in every tenth of a second."""
    start = 0
    for block in vocal_blocks(audio, nets):
        for first in range(0, block.shape[1], 10 * _TENTH_SAMPLES):
            voice = block[:, first : first + 10 * _TENTH_SAMPLES]
            mix = audio.read(start, start + voice.shape[1])
            yield ScoredBlock(voice, _tenth_energies(voice) / (_tenth_energies(mix) + np.float32(1e-9)))
            start += voice.shape[1]


def _tenth_energies(wave: Waveform) -> Shares:
    """Return the mean energy of each tenth of a second of [1, samples] as [tenths]."""
    padded = np.pad(wave[0], (0, -wave.shape[1] % _TENTH_SAMPLES))
    return np.asarray(np.square(padded).reshape(-1, _TENTH_SAMPLES).mean(axis=1), np.float32)


def vocal_blocks(audio: AudioSource, nets: tuple[UNet, UNet]) -> Iterator[Waveform]:
    """Separate the voices of a one-channel source at 48 kHz.

    Args:
        audio: The mix.
        nets: Spleeter's nets for vocals and accompaniment.

    Yields:
        Blocks [1, samples], together exactly as long as `audio`.
    """
    length = audio.length_samples
    frames = -(-length // HOP_SAMPLES) + 3
    emitted = 0
    overlap = np.zeros((0, FRAME_SAMPLES // 2 + 1), np.float32)
    tail = np.zeros(FRAME_SAMPLES - HOP_SAMPLES, np.float32)
    while emitted < frames:
        start = max(min(emitted, frames - _WINDOW_FRAMES), 0)
        end = min(start + _WINDOW_FRAMES, frames)
        spectra = _spectra(audio, start, end)
        shares = _voice_shares(np.abs(spectra), nets)[emitted - start :]
        ramp = np.linspace(0, 1, len(overlap), dtype=np.float32)[:, None]
        shares[: len(overlap)] = overlap * (1 - ramp) + shares[: len(overlap)] * ramp
        count = len(shares) if end == frames else len(shares) - _FADE_FRAMES
        overlap = shares[count:].copy()
        wave, tail = _overlap_add(spectra[emitted - start :][:count] * shares[:count], tail)
        begin = (emitted - 3) * HOP_SAMPLES
        emitted += count
        block = wave[None, max(-begin, 0) : length - begin]
        if block.size:
            yield block


def _spectra(audio: AudioSource, start: int, end: int) -> Spectra:
    """Return the spectra [frames, bins] of frames [start, end). Frame f begins at sample (f - 3) * HOP_SAMPLES."""
    first, last = (start - 3) * HOP_SAMPLES, (end - 4) * HOP_SAMPLES + FRAME_SAMPLES
    length = audio.length_samples
    inside = audio.read(min(max(first, 0), length), min(max(last, 0), length))[0]
    wave = np.pad(inside, (max(-first, 0), max(last - max(length, first, 0), 0)))
    framed = np.lib.stride_tricks.sliding_window_view(wave, FRAME_SAMPLES)[::HOP_SAMPLES]
    return np.asarray(np.fft.rfft(framed * _window()), np.complex64)


def _voice_shares(magnitudes: Shares, nets: tuple[UNet, UNet]) -> Shares:
    """Return the voice's share of the energy in each bin, [frames, bins], by a Wiener mask of both nets."""
    import torch  # noqa: PLC0415 - only needed for vocals

    from stemline_server.engines.embedded.spleeter_unet import BINS  # noqa: PLC0415

    with torch.inference_mode():
        mono = torch.from_numpy(magnitudes[:, :BINS] * np.float32(_LEVEL))
        mono = torch.nn.functional.pad(mono, (0, 0, 0, _WINDOW_FRAMES - len(mono)))
        both = mono.expand(1, 2, -1, -1).contiguous(memory_format=torch.channels_last)
        other = second_core.beside().submit(_power, nets[1], both)
        voice, rest = (power[: len(magnitudes)] for power in (_power(nets[0], both), other.result()))
        share = ((voice + 5e-11) / (voice + rest + 1e-10)).numpy()
    above = share[:, -_TOP_BINS:].mean(axis=1, keepdims=True)
    return np.concatenate([share, np.broadcast_to(above, (len(share), magnitudes.shape[1] - BINS))], axis=1)


def _power(net: UNet, magnitudes: Tensor) -> Tensor:
    """Return the power that a net estimates of one source, [frames, bins]."""
    import torch  # noqa: PLC0415 - only needed for vocals

    with torch.inference_mode():
        estimate: Tensor = net(magnitudes)
        return estimate.mean(1)[0] ** 2


def _overlap_add(spectra: Spectra, tail: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float32], ...]:
    """Return the finished samples [frames * HOP_SAMPLES] and the tail that overlaps the next frames."""
    frames = np.fft.irfft(spectra, FRAME_SAMPLES).astype(np.float32) * (_window() / np.float32(1.5))
    wave = np.zeros(len(frames) * HOP_SAMPLES + tail.size, np.float32)
    wave[: tail.size] = tail
    for part in range(4):
        piece = frames[:, part * HOP_SAMPLES : (part + 1) * HOP_SAMPLES]
        wave[part * HOP_SAMPLES :][: piece.size] += piece.reshape(-1)
    return wave[: -tail.size], wave[-tail.size :]


def _window() -> npt.NDArray[np.float32]:
    """Return a Hann window. Applied twice, at hops of a quarter, it sums to 1.5."""
    return (np.sin(np.pi * np.arange(FRAME_SAMPLES) / FRAME_SAMPLES) ** 2).astype(np.float32)
