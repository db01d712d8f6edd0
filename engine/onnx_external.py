"""Which files an ONNX file refers to, read from its protobuf without the `onnx` package.

ONNX Runtime opens whatever file an ONNX file names for its weights. So a bundle's ONNX file could
load weights that the manifest does not list, whose hash therefore nobody has compared.

Specification: `onnx.proto` of ONNX 1.20; its field numbers never change.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, TypeAlias

from engine.errors import IntegrityError
from engine.model_files import open_regular

Kind: TypeAlias = Literal["model", "training", "function", "graph", "node", "attribute", "sparse",
                          "tensor", "entry"]  # fmt: skip
_CHILDREN: dict[str, dict[int, Kind]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},
}
"""Messages that may lead to an external file: by the kind of a message and its field number."""
_KEY, _VALUE = 1, 2
_LOCATION = b"location"
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MOST_NESTED = 64
_LONGEST_VARINT = 10


def check_external_files(path: Path, allowed: Sequence[str]) -> None:
    """Return if an ONNX file refers to no other file than the `allowed` ones beside it.

    Raises:
        IntegrityError: it does, or it is no ONNX file.
    """
    for location in external_files(path):
        if location not in allowed:
            raise IntegrityError(
                f"{path} takes weights from {location[:200]!r}, which the manifest does not list "
                "for it, so nobody has compared its hash. Make or fetch the bundle anew."
            )


def external_files(path: Path) -> set[str]:
    """The locations of all tensors that an ONNX file keeps elsewhere.

    Raises:
        IntegrityError: the file is empty or not valid protobuf.
    """
    try:
        with (
            open_regular(path) as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
        ):
            return set(_locations(data, 0, len(data), "model", 0))
    except (OSError, ValueError, IndexError) as exc:
        raise IntegrityError(
            f"A runtime can't load {path}: it is not a valid ONNX file. Fetch or make it anew."
        ) from exc


def _locations(data: mmap.mmap, start: int, end: int, kind: Kind, depth: int) -> Iterator[str]:
    if depth > _MOST_NESTED:
        raise ValueError("nested too deeply")
    children = _CHILDREN[kind]
    for field, first, last in _fields(data, start, end):
        child = children.get(field)
        if child == "entry":
            entry = {name: data[a:b] for name, a, b in _fields(data, first, last)}
            if entry.get(_KEY) == _LOCATION:
                yield entry.get(_VALUE, b"").decode("utf-8", "backslashreplace")
        elif child is not None:
            yield from _locations(data, first, last, child, depth + 1)


def _fields(data: mmap.mmap, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Number, start and end of each field that has a length; others are skipped."""
    place = start
    while place < end:
        tag, place = _varint(data, place)
        kind = tag & 7
        if kind == _BYTES:
            size, place = _varint(data, place)
            if size > end - place:
                raise ValueError("a field ends after its message")
            yield tag >> 3, place, place + size
            place += size
        elif kind == _VARINT:
            _, place = _varint(data, place)
        elif kind in (_FIXED32, _FIXED64):
            place += 4 if kind == _FIXED32 else 8
        else:
            raise ValueError("no such wire type")
    if place != end:
        raise ValueError("a field ends after its message")


def _varint(data: mmap.mmap, place: int) -> tuple[int, int]:
    value = 0
    for index in range(_LONGEST_VARINT):
        byte = data[place + index]
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, place + index + 1
    raise ValueError("a number without an end")
