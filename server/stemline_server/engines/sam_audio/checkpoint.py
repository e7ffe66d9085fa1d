"""Reads a published checkpoint, one tensor at a time, and only the tensors that are kept.

Both file kinds come down to an index of key -> place in the file. Tensors are read with plain reads into memory of
their own, so the peak is what is kept plus the one tensor being made; nothing is mapped, and the vision tower is
never touched.
"""

from __future__ import annotations

import json
import math
import pickle
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from stemline.errors import Code, InputError
from stemline_server.engines.sam_audio.config import read_config
from stemline_server.engines.sam_audio.discovery import WEIGHT_FILES, weights_file
from stemline_server.engines.sam_audio.memory import release
from stemline_server.engines.sam_audio.model import SamAudioModel
from stemline_server.engines.sam_audio.packed_linear import Product, can_pack, packed
from stemline_server.engines.sam_audio.weight_conversion import recipe

_UNREADABLE = (
    OSError,
    EOFError,
    ValueError,
    KeyError,
    TypeError,
    RuntimeError,
    struct.error,
    pickle.UnpicklingError,
)
_UNUSED_PREFIXES = ("vision_encoder.", "text_encoder.", "visual_ranker.", "text_ranker.", "span_predictor")
_SAFETENSORS_DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
_MAX_HEADER_BYTES = 100_000_000
_NAMED_KEYS = 4
_ALIGNMENT = 64
_READ_BYTES, _PASSING_BYTES = 56 << 20, 4 << 20
_HOST = torch.device("cpu")


@dataclass(frozen=True, slots=True)
class Entry:
    """Where one tensor's bytes stand, row after row."""

    dtype: torch.dtype
    shape: tuple[int, ...]
    offset_bytes: int

    @property
    def bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a model goes: device, and the number formats of the codec (with watermark) and of the transformer.

    `packed` lays the transformer's matrices out for the processor where it can; `torch.compile` wants them plain.
    """

    device: torch.device
    codec_dtype: torch.dtype = torch.float32
    dit_dtype: torch.dtype = torch.float32
    packed: bool = True

    def dtype_of(self, name: str) -> torch.dtype:
        part = name.split(".", 1)[0]
        if part == "dit":
            return self.dit_dtype
        return self.codec_dtype if part in ("encoder", "decoder") else torch.float32


def load_model(folder: Path, placement: Placement) -> SamAudioModel:
    """The model of a folder with `config.json` and a checkpoint, in eval mode.

    Raises InputError (MODEL_UNAVAILABLE) naming what is missing, left over or of another shape.
    """
    config = read_config(folder)
    path = weights_file(folder)
    if path is None:
        raise _damaged(folder, f"holds neither {' nor '.join(WEIGHT_FILES)}")
    index = read_index(path)
    with torch.device("meta"):
        model = SamAudioModel(config)
    _check_keys(path, model, index)
    arena = _Arena(model, placement)
    with path.open("rb", buffering=0) as file:
        reader = _Reader(file, path, index)
        for name in reader.order({name: recipe(name, config).sources for name, _ in model.named_parameters()}):
            how = recipe(name, config)
            arena.place(model, name, how.build(reader.read(how.sources)))
            if reader.bytes(how.sources) > _PASSING_BYTES:
                release(_HOST)
    for module in model.modules():
        if isinstance(module, nn.LSTM):
            module.flatten_parameters()  # cuDNN wants its weights in one piece
    return model.eval().requires_grad_(False)


def read_index(path: Path) -> dict[str, Entry]:
    """Key -> place of every tensor of a checkpoint. Raises InputError (MODEL_UNAVAILABLE) for a file that is no
    checkpoint.
    """
    try:
        return _safetensors_index(path) if path.suffix == ".safetensors" else _pickle_index(path)
    except _UNREADABLE as error:
        raise _damaged(path, f"cannot be read as a checkpoint ({error})") from error


def _safetensors_index(path: Path) -> dict[str, Entry]:
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        if length > _MAX_HEADER_BYTES:
            raise ValueError("its header is too long")
        header = json.loads(file.read(length))
    return {
        key: Entry(_SAFETENSORS_DTYPES[item["dtype"]], tuple(item["shape"]), 8 + length + item["data_offsets"][0])
        for key, item in header.items()
        if key != "__metadata__" and item["dtype"] in _SAFETENSORS_DTYPES
    }


def _pickle_index(path: Path) -> dict[str, Entry]:
    """Loads with fake tensors: none of the storages is read, each tells its place in the file."""
    with FakeTensorMode():
        state = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(state, Mapping):
        raise ValueError("it holds no state dict")
    index = {}
    for key, tensor in state.items():
        if not isinstance(tensor, Tensor) or key.startswith(_UNUSED_PREFIXES):
            continue
        if not tensor.is_contiguous():
            raise ValueError(f"{key} is not stored row after row")
        start = getattr(tensor.untyped_storage(), "_checkpoint_offset")  # noqa: B009  # torch sets it, but declares it nowhere
        offset = start + tensor.storage_offset() * tensor.element_size()
        index[key] = Entry(tensor.dtype, tuple(tensor.shape), offset)
    return index


def _check_keys(path: Path, model: SamAudioModel, index: Mapping[str, Entry]) -> None:
    """Every tensor present, none left over, all of the shapes that config.json asks for, before any is read."""
    recipes = {name: recipe(name, model.config) for name, _ in model.named_parameters()}
    wanted = {source for how in recipes.values() for source in how.sources}
    missing = wanted - index.keys()
    if missing:
        raise _damaged(path, f"lacks {_some(missing)}")
    left_over = {key for key in index if key not in wanted and not key.startswith(_UNUSED_PREFIXES)}
    if left_over:
        raise _damaged(path, f"holds tensors that this engine does not know: {_some(left_over)}")
    for name, expected in model.named_parameters():
        sources = recipes[name].sources
        try:
            shape = recipes[name].build([_hollow(index[key]) for key in sources]).shape
        except (RuntimeError, IndexError):
            shape = None
        if shape != expected.shape:
            held = _some(f"{key} {list(index[key].shape)}" for key in sources)
            raise _damaged(path, f"has shapes that do not fit its config.json: {held}")


def _hollow(entry: Entry) -> Tensor:
    return torch.empty(entry.shape, dtype=entry.dtype, device="meta")


class _Reader:
    """Reads tensors into one piece of memory that is used again and again, so that what only passes through leaves no
    holes between what is kept. What is too large for it gets memory of its own, which goes back to the system.
    """

    def __init__(self, file: FileIO, path: Path, index: Mapping[str, Entry]) -> None:
        self._file, self._path, self._index = file, path, index
        self._shared = torch.empty(_READ_BYTES, dtype=torch.uint8)

    def order(self, sources: Mapping[str, Sequence[str]]) -> list[str]:
        """Names in the order to make them: those that need the most memory while there is most, then as the file
        holds them, because disks read forwards.
        """
        return sorted(
            sources,
            key=lambda name: (self.bytes(sources[name]) <= _READ_BYTES, self._index[sources[name][0]].offset_bytes),
        )

    def read(self, keys: Sequence[str]) -> list[Tensor]:
        """The tensors as stored; valid until the next call."""
        count = self.bytes(keys)
        memory = self._shared if count <= _READ_BYTES else torch.empty(count, dtype=torch.uint8)
        tensors = []
        for key in keys:
            piece, memory = memory[: self._index[key].bytes], memory[_aligned(self._index[key].bytes) :]
            self._fill(piece, key)
            tensors.append(piece.view(self._index[key].dtype).view(self._index[key].shape))
        return tensors

    def bytes(self, keys: Sequence[str]) -> int:
        """How much memory the tensors `keys` take while they pass through."""
        return sum(_aligned(self._index[key].bytes) for key in keys)

    def _fill(self, piece: Tensor, key: str) -> None:
        view = piece.numpy().data
        self._file.seek(self._index[key].offset_bytes)
        done = 0
        while done < len(view):
            count = self._file.readinto(view[done:])
            if not count:
                raise _damaged(self._path, f"ends within {key}")
            done += count


class _Arena:
    """One block of memory for all parameters of a number format, but for packed matrices, which have their own.

    Kept tensors in memory of their own would stand between those that are only passing through, and what these leave
    could not be given back.
    """

    def __init__(self, model: nn.Module, placement: Placement) -> None:
        self._placement = placement
        self._packs = placement.packed and can_pack(placement.device, placement.dit_dtype)
        self._free: dict[torch.dtype, Tensor] = {}
        for dtype in {placement.dtype_of(name) for name, _ in model.named_parameters()}:
            sizes = [
                _aligned(parameter.numel())
                for name, parameter in model.named_parameters()
                if placement.dtype_of(name) == dtype and not self._packed(model, name)
            ]
            self._free[dtype] = torch.empty(sum(sizes), dtype=dtype, device=placement.device)

    def place(self, model: nn.Module, name: str, tensor: Tensor) -> None:
        """Copies `tensor` in and makes it the parameter `name`."""
        if self._packed(model, name):
            kept = packed(tensor.to(self._placement.dit_dtype))
        else:
            kept = self._block(name, tensor.shape).copy_(tensor)
        owner, _, attribute = name.rpartition(".")
        setattr(model.get_submodule(owner), attribute, nn.Parameter(kept, requires_grad=False))

    def _packed(self, model: nn.Module, name: str) -> bool:
        return self._packs and isinstance(model.get_submodule(name.rpartition(".")[0]), Product)

    def _block(self, name: str, shape: torch.Size) -> Tensor:
        """The next free piece of the parameter's number format."""
        dtype, count = self._placement.dtype_of(name), math.prod(shape)
        piece, self._free[dtype] = self._free[dtype][:count], self._free[dtype][_aligned(count) :]
        if name.startswith("dit.") and len(shape) == 2 and self._placement.device.type == "cpu":
            # A CPU multiplies by a matrix that is held column by column some 5 % faster.
            return piece.view(shape[::-1]).t()
        return piece.view(shape)


def _aligned(numbers: int) -> int:
    return -(-numbers // _ALIGNMENT) * _ALIGNMENT


def _some(keys: Iterable[str]) -> str:
    names = sorted(keys)
    more = len(names) - _NAMED_KEYS
    return ", ".join(names[:_NAMED_KEYS]) + (f" and {more} more" if more > 0 else "")


def _damaged(path: Path, what: str) -> InputError:
    return InputError(
        f"The SAM Audio checkpoint {path} {what}.",
        code=Code.MODEL_UNAVAILABLE,
        advice="Download it again, with its config.json.",
    )
