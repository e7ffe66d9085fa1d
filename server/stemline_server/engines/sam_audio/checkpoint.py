"""Loading of a published checkpoint, one tensor at a time.

For both file formats, an index gives the position of each tensor in the file. Only the tensors that separation needs
are read, with plain reads instead of a memory map, so peak memory is that of the model plus one tensor.
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
from stemline_server.engines.sam_audio.device import release_memory
from stemline_server.engines.sam_audio.discovery import TOWER_PREFIX, WEIGHT_FILES, missing_tower, weights_file
from stemline_server.engines.sam_audio.model import SamAudioModel
from stemline_server.engines.sam_audio.packed_linear import PackedLinear, can_pack, pack
from stemline_server.engines.sam_audio.tower_sizes import tower_sizes
from stemline_server.engines.sam_audio.vision_tower import VisionTower
from stemline_server.engines.sam_audio.weight_conversion import Conversion, conversion, tower_conversion

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
_UNUSED_PREFIXES = (
    "vision_encoder.model.positional_embedding",
    "vision_encoder.model.text_projection",
    "vision_encoder.model.logit_scale",
    "vision_encoder.model.token_embedding.",
    "vision_encoder.model.transformer.",
    "vision_encoder.model.ln_final.",
    "text_encoder.",
    "visual_ranker.",
    "text_ranker.",
    "span_predictor",
)
_SAFETENSORS_DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
_MAX_HEADER_BYTES = 100_000_000
_NAMED_KEYS = 4
_ALIGNMENT = 64
_READ_BYTES, _RELEASE_BYTES = 56 << 20, 4 << 20
_HOST = torch.device("cpu")


@dataclass(frozen=True, slots=True)
class TensorEntry:
    """Locate one contiguous tensor in a file.

    Attributes:
        dtype: Number format.
        shape: Shape.
        offset_bytes: Position of the first byte.
    """

    dtype: torch.dtype
    shape: tuple[int, ...]
    offset_bytes: int

    @property
    def bytes(self) -> int:
        """Size in bytes."""
        return math.prod(self.shape) * self.dtype.itemsize


@dataclass(frozen=True, slots=True)
class Placement:
    """Choose the device and number formats of a model.

    Attributes:
        device: The device.
        codec_dtype: Number format of encoder and decoder.
        dit_dtype: Number format of the transformer and of the vision tower.
        packed: Whether to pack the weights of both if the device supports it. `torch.compile` needs plain ones.
    """

    device: torch.device
    codec_dtype: torch.dtype = torch.float32
    dit_dtype: torch.dtype = torch.float32
    packed: bool = True

    def dtype_of(self, name: str) -> torch.dtype:
        """Return the number format of a parameter."""
        part = name.split(".", 1)[0]
        if part in ("encoder", "decoder"):
            return self.codec_dtype
        return torch.float32 if part in ("conditioning", "watermark") else self.dit_dtype


def load_model(folder: Path, placement: Placement) -> SamAudioModel:
    """Load the model of a checkpoint without its vision tower, in eval mode.

    Args:
        folder: Folder with `config.json` and the weights.
        placement: Device and number formats.

    Raises:
        InputError: The checkpoint is incomplete, damaged or not supported (MODEL_UNAVAILABLE).
    """
    config = read_config(folder)
    path = _weights(folder)
    index = {key: entry for key, entry in read_index(path).items() if not key.startswith(TOWER_PREFIX)}
    with torch.device("meta"):
        model = SamAudioModel(config)
    rules = {name: conversion(name, config) for name, _ in model.named_parameters()}
    _fill_parameters(path, index, model, rules, placement)
    for module in model.modules():
        if isinstance(module, nn.LSTM):
            module.flatten_parameters()  # cuDNN needs the weights in one piece
    return model.eval().requires_grad_(False)


def load_tower(folder: Path, placement: Placement) -> VisionTower:
    """Load the vision tower of a checkpoint, in eval mode.

    Args:
        folder: Folder with `config.json` and the weights.
        placement: Device and number formats.

    Raises:
        InputError: The checkpoint has no tower, or one that is incomplete, damaged or not supported
            (MODEL_UNAVAILABLE).
    """
    sizes = tower_sizes(folder, read_config(folder).vision_encoder)
    path = _weights(folder)
    index = {key: entry for key, entry in read_index(path).items() if key.startswith(TOWER_PREFIX)}
    if not index:
        raise InputError(missing_tower(folder), code=Code.MODEL_UNAVAILABLE)
    with torch.device("meta"):
        tower = VisionTower(sizes)
    rules = {name: tower_conversion(name, sizes) for name, _ in tower.named_parameters()}
    _fill_parameters(path, index, tower, rules, placement)
    return tower.eval().requires_grad_(False)


def _weights(folder: Path) -> Path:
    path = weights_file(folder)
    if path is None:
        raise _damaged(folder, f"holds neither {' nor '.join(WEIGHT_FILES)}")
    return path


def _fill_parameters(
    path: Path,
    index: Mapping[str, TensorEntry],
    model: nn.Module,
    rules: Mapping[str, Conversion],
    placement: Placement,
) -> None:
    """Replace the parameters of `model`, which lie on the meta device, with those in a file."""
    _check_keys(path, model, rules, index)
    memory = _ParameterMemory(model, placement)
    with path.open("rb", buffering=0) as file:
        reader = _Reader(file, path, index)
        for name in reader.order({name: rule.sources for name, rule in rules.items()}):
            memory.place(model, name, rules[name].build(reader.read(rules[name].sources)))
            if reader.bytes(rules[name].sources) > _RELEASE_BYTES:
                release_memory(_HOST)


def read_index(path: Path) -> dict[str, TensorEntry]:
    """Return the position of every tensor in a checkpoint by key.

    Raises:
        InputError: The file is not a checkpoint (MODEL_UNAVAILABLE).
    """
    try:
        return _safetensors_index(path) if path.suffix == ".safetensors" else _pickle_index(path)
    except _UNREADABLE as error:
        raise _damaged(path, f"cannot be read as a checkpoint ({error})") from error


def _safetensors_index(path: Path) -> dict[str, TensorEntry]:
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        if length > _MAX_HEADER_BYTES:
            raise ValueError("its header is too long")
        header = json.loads(file.read(length))
    return {
        key: TensorEntry(_SAFETENSORS_DTYPES[item["dtype"]], tuple(item["shape"]), 8 + length + item["data_offsets"][0])
        for key, item in header.items()
        if key != "__metadata__" and item["dtype"] in _SAFETENSORS_DTYPES
    }


def _pickle_index(path: Path) -> dict[str, TensorEntry]:
    """Read the structure with fake tensors, whose storages state their offset in the file but are not read."""
    with FakeTensorMode():
        state = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(state, Mapping):
        raise ValueError("it does not hold a state dict")
    index = {}
    for key, tensor in state.items():
        if not isinstance(tensor, Tensor) or key.startswith(_UNUSED_PREFIXES):
            continue
        if not tensor.is_contiguous():
            raise ValueError(f"{key} is not contiguous")
        start = getattr(tensor.untyped_storage(), "_checkpoint_offset")  # noqa: B009  # PyTorch sets it without declaring it
        offset = start + tensor.storage_offset() * tensor.element_size()
        index[key] = TensorEntry(tensor.dtype, tuple(tensor.shape), offset)
    return index


def _check_keys(
    path: Path, model: nn.Module, rules: Mapping[str, Conversion], index: Mapping[str, TensorEntry]
) -> None:
    """Check that all tensors are present, none are unknown and shapes match config.json, before any tensor is read."""
    wanted = {source for rule in rules.values() for source in rule.sources}
    missing = wanted - index.keys()
    if missing:
        raise _damaged(path, f"lacks {_listed(missing)}")
    unknown = {key for key in index if key not in wanted and not key.startswith(_UNUSED_PREFIXES)}
    if unknown:
        raise _damaged(path, f"holds unknown tensors: {_listed(unknown)}")
    for name, expected in model.named_parameters():
        sources = rules[name].sources
        try:
            shape = rules[name].build([_meta_tensor(index[key]) for key in sources]).shape
        except (RuntimeError, IndexError):
            shape = None
        if shape != expected.shape:
            held = _listed(f"{key} {list(index[key].shape)}" for key in sources)
            raise _damaged(path, f"has shapes that do not match its config.json: {held}")


def _meta_tensor(entry: TensorEntry) -> Tensor:
    return torch.empty(entry.shape, dtype=entry.dtype, device="meta")


class _Reader:
    """Read tensors into a shared buffer.

    Reusing one buffer avoids holes between the memory of parameters. Tensors that are too large for it get their own
    memory, which returns to the system.
    """

    def __init__(self, file: FileIO, path: Path, index: Mapping[str, TensorEntry]) -> None:
        self._file, self._path, self._index = file, path, index
        self._shared = torch.empty(_READ_BYTES, dtype=torch.uint8)

    def order(self, sources: Mapping[str, Sequence[str]]) -> list[str]:
        """Return parameter names in the order to build them.

        Parameters too large for the shared buffer come first, while most memory is free, then the others in the order
        of the file, because disks read forwards faster.

        Args:
            sources: Keys of the tensors that each parameter is built from.
        """
        return sorted(
            sources,
            key=lambda name: (self.bytes(sources[name]) <= _READ_BYTES, self._index[sources[name][0]].offset_bytes),
        )

    def read(self, keys: Sequence[str]) -> list[Tensor]:
        """Return tensors as stored; they are valid until the next call."""
        count = self.bytes(keys)
        memory = self._shared if count <= _READ_BYTES else torch.empty(count, dtype=torch.uint8)
        tensors = []
        for key in keys:
            piece, memory = memory[: self._index[key].bytes], memory[_aligned(self._index[key].bytes) :]
            self._fill(piece, key)
            tensors.append(piece.view(self._index[key].dtype).view(self._index[key].shape))
        return tensors

    def bytes(self, keys: Sequence[str]) -> int:
        """Return the size in bytes of some tensors in the buffer."""
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


class _ParameterMemory:
    """Allocate one block of memory for all parameters of a number format; packed weights have their own memory.

    Parameters in separate allocations would lie between temporary tensors, whose memory could then not be returned to
    the system.
    """

    def __init__(self, model: nn.Module, placement: Placement) -> None:
        self._placement = placement
        self._packs = placement.packed and can_pack(placement.device, placement.dit_dtype)
        self._free: dict[torch.dtype, Tensor] = {}
        for dtype in {placement.dtype_of(name) for name, _ in model.named_parameters()}:
            sizes = [
                _aligned(parameter.numel())
                for name, parameter in model.named_parameters()
                if placement.dtype_of(name) == dtype and not self._is_packed(model, name)
            ]
            self._free[dtype] = torch.empty(sum(sizes), dtype=dtype, device=placement.device)

    def place(self, model: nn.Module, name: str, tensor: Tensor) -> None:
        """Copy a tensor into the block and make it a parameter."""
        if self._is_packed(model, name):
            stored = pack(tensor.to(self._placement.dit_dtype))
        else:
            stored = self._block(name, tensor.shape).copy_(tensor)
        owner, _, attribute = name.rpartition(".")
        setattr(model.get_submodule(owner), attribute, nn.Parameter(stored, requires_grad=False))

    def _is_packed(self, model: nn.Module, name: str) -> bool:
        owner, _, attribute = name.rpartition(".")
        return self._packs and attribute == "weight" and isinstance(model.get_submodule(owner), PackedLinear)

    def _block(self, name: str, shape: torch.Size) -> Tensor:
        """Return the next free piece of the block for a parameter's number format."""
        dtype, count = self._placement.dtype_of(name), math.prod(shape)
        piece, self._free[dtype] = self._free[dtype][:count], self._free[dtype][_aligned(count) :]
        if name.startswith("dit.") and len(shape) == 2 and self._placement.device.type == "cpu":
            # On a CPU, products with a column-major matrix are about 5 % faster.
            return piece.view(shape[::-1]).t()
        return piece.view(shape)


def _aligned(numbers: int) -> int:
    return -(-numbers // _ALIGNMENT) * _ALIGNMENT


def _listed(keys: Iterable[str]) -> str:
    names = sorted(keys)
    more = len(names) - _NAMED_KEYS
    return ", ".join(names[:_NAMED_KEYS]) + (f" and {more} more" if more > 0 else "")


def _damaged(path: Path, what: str) -> InputError:
    return InputError(
        f"The SAM Audio checkpoint {path} {what}.",
        code=Code.MODEL_UNAVAILABLE,
        advice="Download it again, together with its config.json.",
    )
