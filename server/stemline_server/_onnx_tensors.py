"""Read the float32 tensors of an ONNX model without the package `onnx`, and nothing else of the model.

The reader follows the wire format of Protocol Buffers. It executes nothing, opens no file, and refuses every structure
that it does not need.
"""

from __future__ import annotations

from math import prod

import numpy as np
import numpy.typing as npt

from stemline.wire_format import read_fields, read_varint

# Numbers of the fields in onnx.proto
_GRAPH_OF_MODEL = 7
_NODE_OF_GRAPH, _INITIALIZER_OF_GRAPH = 1, 5
_OUTPUT_OF_NODE, _OPERATOR_OF_NODE, _ATTRIBUTE_OF_NODE, _TENSOR_OF_ATTRIBUTE = 2, 4, 5, 5
_DIMS, _DATA_TYPE, _FLOAT_DATA, _NAME, _RAW_DATA, _EXTERNAL_DATA = 1, 2, 4, 8, 9, 13
_KEY, _VALUE = 1, 2
_FLOAT32 = 1


Fields = dict[int, list[int | bytes]]


def read_tensors(model: bytes, external: bytes) -> dict[str, npt.NDArray[np.float32]]:
    """Return the float32 tensors of a model by name: initializers, and constants by the name of their output.

    Tensors of other types are skipped.

    Args:
        model: Content of the .onnx file.
        external: Content of the file that holds the data of large tensors; empty if there is none.

    Raises:
        ValueError: The bytes are not such a model.
    """
    graph = _fields(_only(_fields(model), _GRAPH_OF_MODEL))
    tensors = {}
    for message in graph.get(_INITIALIZER_OF_GRAPH, []):
        fields = _fields(_as_bytes(message))
        if fields.get(_DATA_TYPE) == [_FLOAT32]:
            tensors[_only(fields, _NAME).decode()] = _values(fields, external)
    for message in graph.get(_NODE_OF_GRAPH, []):
        node = _fields(_as_bytes(message))
        if node.get(_OPERATOR_OF_NODE) == [b"Constant"]:
            fields = _fields(_only(_fields(_only(node, _ATTRIBUTE_OF_NODE)), _TENSOR_OF_ATTRIBUTE))
            if fields.get(_DATA_TYPE) == [_FLOAT32] and _RAW_DATA in fields:
                tensors[_only(node, _OUTPUT_OF_NODE).decode()] = _values(fields, external)
    return tensors


def _values(fields: Fields, external: bytes) -> npt.NDArray[np.float32]:
    """Return the float32 array of a tensor."""
    shape = _dimensions(fields)
    data = _data(fields, external)
    if len(data) != 4 * prod(shape):
        raise ValueError("the data of a tensor does not fit its shape")
    return np.frombuffer(data, "<f4").reshape(shape)


def _data(fields: Fields, external: bytes) -> bytes:
    """Return the bytes of a tensor: its own, raw or as packed floats, or a range of the external file."""
    for own in (_RAW_DATA, _FLOAT_DATA):
        if own in fields:
            return _only(fields, own)
    entries = [_fields(_as_bytes(entry)) for entry in fields.get(_EXTERNAL_DATA, [])]
    place = {_only(entry, _KEY): _only(entry, _VALUE) for entry in entries}
    offset, length = int(place.get(b"offset", b"0")), int(place.get(b"length", b"0"))
    if offset < 0 or length < 0 or offset + length > len(external):
        raise ValueError("the data of a tensor lies outside of the file")
    return external[offset : offset + length]


def _dimensions(fields: Fields) -> tuple[int, ...]:
    """Return the shape of a tensor; repeated integers come singly or packed."""
    shape: list[int] = []
    for value in fields.get(_DIMS, []):
        if isinstance(value, int):
            shape.append(value)
            continue
        at = 0
        while at < len(value):
            size, at = read_varint(value, at)
            shape.append(size)
    return tuple(shape)


def _fields(message: bytes) -> Fields:
    fields: Fields = {}
    for number, value in read_fields(message):
        fields.setdefault(number, []).append(value)
    return fields


def _only(fields: Fields, number: int) -> bytes:
    values = fields.get(number, [])
    if len(values) != 1:
        raise ValueError(f"field {number} occurs {len(values)} times")
    return _as_bytes(values[0])


def _as_bytes(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise ValueError("a field has another type")
    return value
