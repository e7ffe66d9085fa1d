"""Embeddings of voices by Resemblyzer, with the weights of the installed wheel `Resemblyzer` (Apache-2.0).

Wan et al., "Generalized End-to-End Loss for Speaker Verification", 2018. Stemline does not import or run any code of
the wheel: it compares the checkpoint with a known SHA-256, reads its tensors with the restricted unpickler of PyTorch,
and runs them in its own net.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from stemline.errors import Code, SeparationError
from stemline.extras import install_command
from stemline_server._wheel_files import read_known_file

if TYPE_CHECKING:
    from torch import Tensor

WHEEL = "Resemblyzer"
SAMPLE_RATE = 16_000
FRAME_SAMPLES, FRAME_HOP_SAMPLES = 400, 160
WINDOW_FRAMES = 160
WINDOW_SAMPLES = FRAME_HOP_SAMPLES * WINDOW_FRAMES

_PATH = "resemblyzer/pretrained.pt"
_SHA256 = "39373b86598fa3da9fcddee6142382efe09777e8d37dc9c0561f41f0070f134e"
_BANDS = 40
EMBEDDING_WIDTH = 256
_HIDDEN, _LAYERS = 256, 3
_LEVEL_DBFS = -30.0
_BATCH = 64
_LINEAR_HZ, _LINEAR_MELS, _LOG_STEP = 1_000.0, 15.0, np.log(6.4) / 27

Embeddings = npt.NDArray[np.float32]
"""Unit vectors [windows, 256]. The cosine of two of one voice is about 0.9, of two voices about 0.55."""


@dataclass(frozen=True, slots=True)
class HeardWindows:
    """What the net hears in windows: the embedding of each, and the probability that two voices speak at once in it."""

    embeddings: Embeddings
    overlaps: npt.NDArray[np.float32]


class VoiceEncoder:
    """Map windows of 1.6 seconds of speech to embeddings of the voice."""

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        """Create the net from the tensors of its checkpoint by name."""
        import torch  # noqa: PLC0415 - only needed where the net is used

        self._recurrent = torch.nn.LSTM(_BANDS, _HIDDEN, _LAYERS, batch_first=True)
        parts = ((name.removeprefix("lstm."), value) for name, value in tensors.items() if name.startswith("lstm."))
        self._recurrent.load_state_dict(dict(parts))
        self._weight, self._bias = tensors["linear.weight"], tensors["linear.bias"]
        self._bank = torch.from_numpy(mel_bank())
        self._window = torch.hann_window(FRAME_SAMPLES)
        probe = np.load(io.BytesIO(files(__package__).joinpath("overlap_probe.npy").read_bytes()), allow_pickle=False)
        self._probe = torch.from_numpy(probe)

    def hear(self, windows: npt.NDArray[np.float32]) -> HeardWindows:
        """Return what the net hears in each window, [windows, samples] of 1.6 seconds at 16 kHz.

        Overlaps are found by a linear probe (Alain & Bengio, 2016) of the states of the net.

        Quiet windows are raised to -30 dB below full scale, the level that the net was trained for.
        """
        import torch  # noqa: PLC0415 - only needed where the net is used

        if not len(windows):
            return HeardWindows(np.zeros((0, EMBEDDING_WIDTH), np.float32), np.zeros(0, np.float32))
        level = np.sqrt(np.square(windows, dtype=np.float64).mean(1, keepdims=True)) + 1e-9
        raised = (windows * np.maximum(1.0, 10 ** (_LEVEL_DBFS / 20) / level)).astype(np.float32)
        found, overlaps = [], []
        with torch.inference_mode():
            for at in range(0, len(raised), _BATCH):
                padded = torch.nn.functional.pad(torch.from_numpy(raised[at : at + _BATCH]), (FRAME_SAMPLES // 2,) * 2)
                frames = padded.unfold(1, FRAME_SAMPLES, FRAME_HOP_SAMPLES)[:, :WINDOW_FRAMES] * self._window
                energies = torch.fft.rfft(frames).abs().square() @ self._bank
                outputs, (states, _) = self._recurrent(energies)
                values = torch.nn.functional.linear(states[-1], self._weight, self._bias).relu()
                found.append(torch.nn.functional.normalize(values, dim=1))
                probed = torch.cat([*states, outputs.mean(1), outputs.std(1)], 1)
                overlaps.append(torch.sigmoid(probed @ self._probe[:-1] + self._probe[-1]))
        return HeardWindows(torch.cat(found).numpy(), torch.cat(overlaps).numpy())


def mel_bank() -> npt.NDArray[np.float32]:
    """Return triangular filters of equal area on Slaney's mel scale ("Auditory Toolbox", 1998), [bins, bands]."""
    bins = np.linspace(0, SAMPLE_RATE / 2, FRAME_SAMPLES // 2 + 1)
    highest = _LINEAR_MELS + np.log(SAMPLE_RATE / 2 / _LINEAR_HZ) / _LOG_STEP
    mels = np.linspace(0, highest, _BANDS + 2)
    linear = mels * _LINEAR_HZ / _LINEAR_MELS
    edges = np.where(mels < _LINEAR_MELS, linear, _LINEAR_HZ * np.exp(_LOG_STEP * (mels - _LINEAR_MELS)))
    rising = (bins[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins[:, None]) / (edges[2:] - edges[1:-1])
    filters = np.maximum(0, np.minimum(rising, falling))
    return np.asarray(filters * 2 / (edges[2:] - edges[:-2]), np.float32)


def is_installed() -> bool:
    """Return whether the known checkpoint is in an installed wheel."""
    return _read_checkpoint() is not None


def availability() -> str:
    """Return "" if the net can be loaded, else one sentence that says how to get it."""
    return "" if is_installed() else f"Speaker turns need the extra `voices`: {install_command('voices')}."


def load_encoder() -> VoiceEncoder:
    """Return the net. Raises SeparationError (MODEL_UNAVAILABLE) if its known checkpoint is not installed."""
    stored = _read_checkpoint()
    if stored is None:
        raise SeparationError(availability(), code=Code.MODEL_UNAVAILABLE)
    import torch  # noqa: PLC0415 - only needed where the net is used

    checkpoint = torch.load(io.BytesIO(stored), map_location="cpu", weights_only=True)
    return VoiceEncoder(checkpoint["model_state"])


@cache
def _read_checkpoint() -> bytes | None:
    """Return the checkpoint without importing the wheel; None if it is missing or not the known one."""
    return read_known_file(WHEEL, _PATH, _SHA256)
