"""Writes GGUF files byte by byte, so that they may say anything, also what no writer would."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

UINT8, INT32, UINT32, FLOAT32, BOOL, STRING, ARRAY = 0, 5, 4, 6, 7, 8, 9
F32, Q8_0, Q6_K = 0, 8, 14
_SIZES = {F32: (1, 4), Q8_0: (32, 34), Q6_K: (256, 210)}
_LETTERS = {UINT8: "B", INT32: "i", UINT32: "I", FLOAT32: "f", BOOL: "?"}


@dataclass(frozen=True)
class Key:
    """A key; `raw` is written as it is."""

    name: str | bytes
    type: int
    raw: bytes


@dataclass(frozen=True)
class Stated:
    """A tensor; its innermost dimension is the first."""

    name: str
    dimensions: Sequence[int] = (2,)
    type: int = F32
    offset: int | None = None
    """Where the ones before it end, if None."""

    @property
    def bytes(self) -> int:
        elements, (block, size) = 1, _SIZES.get(self.type, (1, 4))
        for dimension in self.dimensions:
            elements *= dimension
        return elements // block * size


def text(value: str | bytes) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(raw)) + raw


def scalar(name: str, kind: int, value: float) -> Key:
    return Key(name, kind, struct.pack(f"<{_LETTERS[kind]}", value))


def string(name: str, value: str | bytes) -> Key:
    return Key(name, STRING, text(value))


def array(name: str, item: int, items: Sequence[bytes], *, count: int | None = None) -> Key:
    stated = len(items) if count is None else count
    return Key(name, ARRAY, struct.pack("<IQ", item, stated) + b"".join(items))


def gguf_bytes(
    keys: Sequence[Key] = (),
    tensors: Sequence[Stated] = (),
    *,
    version: int = 3,
    key_count: int | None = None,
    tensor_count: int | None = None,
    alignment: int = 32,
    weights: bytes | None = None,
) -> bytes:
    """A whole file; counts are right and weights are zeros unless given."""
    counts = (
        len(tensors) if tensor_count is None else tensor_count,
        len(keys) if key_count is None else key_count,
    )
    head = b"GGUF" + struct.pack("<IQQ", version, *counts)
    for key in keys:
        head += text(key.name) + struct.pack("<I", key.type) + key.raw
    end = 0
    for tensor in tensors:
        start = end + -end % alignment
        end = start + min(tensor.bytes, 1 << 20)
        head += text(tensor.name) + struct.pack("<I", len(tensor.dimensions))
        head += b"".join(struct.pack("<Q", size) for size in tensor.dimensions)
        head += struct.pack("<IQ", tensor.type, start if tensor.offset is None else tensor.offset)
    head += b"\0" * (-len(head) % alignment)
    return head + (b"\0" * end if weights is None else weights)
