"""Voice detection by Silero VAD, with the weights of the installed wheel `silero-vad` (MIT).

Silero Team, "Silero VAD: pre-trained enterprise-grade Voice Activity Detector", 2021. Stemline does not import or run
any code of the wheel: it compares the weights with a known SHA-256 and runs them in its own net. Without the wheel, or
with another version of it, the engine decides without a detector.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from stemline_server._wheel_files import read_known_file
from stemline_server.engines.base import Waveform

if TYPE_CHECKING:
    from torch import Tensor

WHEEL = "silero-vad"
_PATH = "silero_vad/data/silero_vad_16k.safetensors"
_SHA256 = "c59271c284ae9c8335d795d60e0bfdb71aaaceec578d9bd9ffc1b8153c319ea1"

_DECIMATION = 3
_FRAME_SAMPLES = 512
"""Length of a frame at 16 kHz: 32 ms."""
_CONTEXT_SAMPLES = 64
_REFLECTED_SAMPLES = 64
_FFT_SAMPLES, _FFT_HOP = 256, 128
_BINS = _FFT_SAMPLES // 2 + 1
_FILTER_TAPS = 97
_CUTOFF = 0.92
"""Edge of the low-pass filter before decimation, as a share of 8 kHz."""


class VoiceDetector:
    """Detect voices in audio at 48 kHz."""

    def __init__(self, weights: dict[str, Tensor]) -> None:
        """Create the net from the arrays of its weights by name."""
        import torch  # noqa: PLC0415 - only needed where the detector runs

        self._weights = weights
        self._recurrent = torch.nn.LSTM(128, 128, batch_first=True)
        cell = {f"{name}_l0": weights[f"lstm_cell.{name}"] for name in _CELL_ARRAYS}
        self._recurrent.load_state_dict(cell)

    def probabilities(self, wave: Waveform) -> npt.NDArray[np.float32]:
        """Return the probability of a voice in each 32 ms, [frames].

        Args:
            wave: Samples [1, samples] at 48 kHz. The last frame is filled up with silence.
        """
        import torch  # noqa: PLC0415 - only needed where the detector runs

        if not wave.shape[1]:
            return np.zeros(0, np.float32)
        with torch.inference_mode():
            mono = torch.from_numpy(decimated(wave))
            mono = torch.nn.functional.pad(mono, (_CONTEXT_SAMPLES, -mono.shape[1] % _FRAME_SAMPLES))
            frames = mono.unfold(1, _CONTEXT_SAMPLES + _FRAME_SAMPLES, _FRAME_SAMPLES)[0]
            states, _ = self._recurrent(self._features(frames)[None])
            logits = self._convolve(states[0].relu()[:, :, None], "final_conv", padding=0)
            probabilities: npt.NDArray[np.float32] = logits.sigmoid()[:, 0, 0].numpy()
        return probabilities

    def speech_share(self, wave: Waveform) -> float:
        """Return the share of the frames of [1, samples] at 48 kHz in which a voice is likely, 0..1."""
        probabilities = self.probabilities(wave)
        return float((probabilities > 0.5).mean()) if probabilities.size else 0.0

    def _features(self, frames: Tensor) -> Tensor:
        """Return the features [frames, 128] of frames [frames, samples] with their context."""
        import torch  # noqa: PLC0415 - only needed where the detector runs

        reflected = torch.nn.functional.pad(frames[:, None], (0, _REFLECTED_SAMPLES), "reflect")
        parts = torch.nn.functional.conv1d(reflected, self._weights["stft_conv.weight"], stride=_FFT_HOP)
        features = (parts[:, :_BINS] ** 2 + parts[:, _BINS:] ** 2).sqrt()
        for name, stride in (("conv1", 1), ("conv2", 2), ("conv3", 2), ("conv4", 1)):
            features = self._convolve(features, name, stride=stride).relu()
        return features[:, :, 0]

    def _convolve(self, values: Tensor, name: str, *, stride: int = 1, padding: int = 1) -> Tensor:
        import torch  # noqa: PLC0415 - only needed where the detector runs

        weight, bias = self._weights[f"{name}.weight"], self._weights[f"{name}.bias"]
        return torch.nn.functional.conv1d(values, weight, bias, stride=stride, padding=padding)


def decimated(wave: Waveform) -> Waveform:
    """Return audio at 16 kHz, [1, samples / 3], from [1, samples] at 48 kHz."""
    import torch  # noqa: PLC0415 - only needed where the detector runs

    with torch.inference_mode():
        half = _FILTER_TAPS // 2
        padded = torch.nn.functional.pad(torch.from_numpy(np.ascontiguousarray(wave)), (half, half))
        taps = torch.from_numpy(_low_pass())[None, None]
        mono: Waveform = torch.nn.functional.conv1d(padded[None], taps, stride=_DECIMATION)[0].numpy()
    return mono


def interpolated(wave: Waveform) -> Waveform:
    """Return audio at 48 kHz, [1, 3 * samples], from [1, samples] at 16 kHz."""
    import torch  # noqa: PLC0415 - only needed where the detector runs

    with torch.inference_mode():
        taps = torch.from_numpy(_low_pass() * np.float32(_DECIMATION))[None, None]
        spread = torch.nn.functional.conv_transpose1d(torch.from_numpy(wave)[None], taps, stride=_DECIMATION)
        half = _FILTER_TAPS // 2
        return np.asarray(spread[0, :, half : half + _DECIMATION * wave.shape[1]].numpy(), np.float32)


_CELL_ARRAYS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


def is_installed() -> bool:
    """Return whether the known weights are in an installed wheel."""
    return _read_weights() is not None


def digest() -> str:
    """Return the first 12 digits of the SHA-256 of the weights."""
    return _SHA256[:12]


def load_detector() -> VoiceDetector | None:
    """Return the detector, or None if its known weights are not installed."""
    stored = _read_weights()
    if stored is None:
        return None
    from safetensors.torch import load  # noqa: PLC0415 - only needed where the detector runs

    return VoiceDetector(load(stored))


@cache
def _read_weights() -> bytes | None:
    """Return the bytes of the weights without importing the wheel; None if they are missing or not the known ones."""
    return read_known_file(WHEEL, _PATH, _SHA256)


def _low_pass() -> npt.NDArray[np.float32]:
    """Return a windowed sinc filter [taps] for decimation from 48 to 16 kHz."""
    at = np.arange(_FILTER_TAPS) - _FILTER_TAPS // 2
    taps = np.sinc(at * _CUTOFF / _DECIMATION) * np.hamming(_FILTER_TAPS)
    return np.asarray(taps / taps.sum(), np.float32)
