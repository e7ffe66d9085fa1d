"""The reader of ONNX tensors: exact values, and untrusted bytes never crash it in another way than ValueError."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stemline_server._onnx_tensors import read_tensors


def varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def field(number: int, content: bytes | int) -> bytes:
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    return varint(number << 3 | 2) + varint(len(content)) + content


def model(*tensors: bytes) -> bytes:
    return field(1, 8) + field(7, b"".join(field(5, tensor) for tensor in tensors))


def tensor(name: str, shape: tuple[int, ...], *, data: bytes | None = None, place: tuple[int, int] = (0, 0)) -> bytes:
    dims = field(1, b"".join(map(varint, shape)))
    head = dims + field(2, 1) + field(8, name.encode())
    if data is not None:
        return head + field(9, data)
    entries = zip(("location", "offset", "length"), ("model.data", *map(str, place)), strict=True)
    return head + b"".join(field(13, field(1, key.encode()) + field(2, value.encode())) for key, value in entries)


VALUES = np.arange(6, dtype="<f4").reshape(2, 3)


def test_tensors_of_both_kinds_have_their_values_and_shapes() -> None:
    external = b"\0" * 8 + VALUES.tobytes()
    bytes_of_model = model(tensor("own", (2, 3), data=VALUES.tobytes()), tensor("external", (3, 2), place=(8, 24)))
    read = read_tensors(bytes_of_model, external)
    np.testing.assert_array_equal(read["own"], VALUES)
    np.testing.assert_array_equal(read["external"], VALUES.reshape(3, 2))


@pytest.mark.parametrize("place", [(8, 24), (0, 1 << 60), (0, 20)])
def test_data_outside_of_the_file_or_of_another_size_is_refused(place: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="tensor"):
        read_tensors(model(tensor("w", (2, 3), place=place)), VALUES.tobytes())


@given(st.binary(max_size=200), st.integers(0, 120), st.binary(max_size=3))
def test_damaged_bytes_raise_nothing_but_value_errors(noise: bytes, at: int, inserted: bytes) -> None:
    good = model(tensor("w", (2, 3), data=VALUES.tobytes()))
    for damaged in (noise, good[:at] + inserted + good[at:], good[:at]):
        try:
            read_tensors(damaged, b"")
        except ValueError:
            continue
