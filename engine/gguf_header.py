"""Reads the header of a GGUF file, version 2 or 3, and believes nothing in it unchecked.

Every count, length, type and offset is checked against the file's size before it is used, by the
rules of the format's specification (ggml/docs/gguf.md). So a damaged file is one error that says
what is wrong, and never reaches llama.cpp or numpy, which would end or exhaust the process.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from engine.errors import IntegrityError
from engine.gguf_types import TENSOR_TYPES
from engine.model_files import open_regular

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_STRING, _ARRAY = 8, 9
_SCALARS = {
    0: "B",
    1: "b",
    2: "H",
    3: "h",
    4: "I",
    5: "i",
    6: "f",
    7: "?",
    10: "Q",
    11: "q",
    12: "d",
}
"""Types of metadata that have one size, in the letters of `struct`."""
_STRUCTS = {letter: struct.Struct(f"<{letter}") for letter in _SCALARS.values()}
_UINT32 = 4
_DEFAULT_ALIGNMENT = 32
_ALIGNMENT_KEY = "general.alignment"
_MOST_DIMENSIONS = 4
_MOST_ELEMENTS = 1 << 40
_SMALLEST_KEY_BYTES = 8 + 4 + 1
_SMALLEST_TENSOR_BYTES = 8 + 4 + 8 + 4 + 8
_LONGEST_NAME_BYTES = 63
_SHOWN_CHARACTERS = 64
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Metadatum:
    """A key of the header with its value and the type that the file states.

    `item_type` is that of an array's items; an array's value is a list.
    """

    key: str
    value: Any
    type: int
    item_type: int | None


@dataclass(frozen=True, slots=True)
class TensorPlace:
    """A tensor: its shape, the outermost dimension first, and where in the file its bytes are."""

    name: str
    shape: tuple[int, ...]
    type: int
    offset: int
    bytes: int


@dataclass(frozen=True, slots=True)
class GgufHeader:
    """What a GGUF file says of itself. All tensors lie within the file."""

    metadata: dict[str, Metadatum] = field(default_factory=dict)
    tensors: dict[str, TensorPlace] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> GgufHeader:
        """Read and check the header; weights are not read.

        Raises:
            IntegrityError: the file can't be read, is not GGUF, is cut off, or contradicts itself.
        """
        try:
            with open_regular(path) as file:
                if not file.read(1):
                    raise IntegrityError(f"{path} is not a GGUF file: it is empty.")
                with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                    return _Reader(path, data).header()
        except OSError as exc:
            raise IntegrityError(f"{path} can't be read: {exc.strerror or exc}.") from exc


class _Reader:
    """A place in the file that moves on; whatever it reads must lie within the file."""

    def __init__(self, path: Path, data: mmap.mmap) -> None:
        self._path = path
        self._data = data
        self._size = len(data)
        self._at = 0

    def header(self) -> GgufHeader:
        if self._data[: len(_MAGIC)] != _MAGIC:
            raise IntegrityError(f"{self._path} is not a GGUF file: it does not begin with GGUF.")
        self._at = len(_MAGIC)
        version = self._number("I")
        if version not in _VERSIONS:
            known = " or ".join(map(str, _VERSIONS))
            raise self._damaged(f"it states version {version}; {known}, little-endian, is known")
        tensors, keys = self._number("Q"), self._number("Q")
        self._check_count(keys, _SMALLEST_KEY_BYTES, "keys")
        metadata = self._unique(keys, self._metadatum, lambda row: row.key, "the key")
        self._check_count(tensors, _SMALLEST_TENSOR_BYTES, "tensors")
        stated = self._unique(tensors, self._tensor, lambda row: row.name, "the tensor")
        alignment = self._alignment(metadata.get(_ALIGNMENT_KEY))
        return GgufHeader(metadata, self._placed(stated, alignment))

    def _unique(
        self, count: int, read: Callable[[], _T], name_of: Callable[[_T], str], kind: str
    ) -> dict[str, _T]:
        found: dict[str, _T] = {}
        for _ in range(count):
            row = read()
            name = name_of(row)
            if name in found:
                raise self._damaged(f"it has {kind} {_shown(name)} twice")
            found[name] = row
        return found

    def _metadatum(self) -> Metadatum:
        key = self._text("the name of a key")
        kind = self._number("I")
        what = f"the key {_shown(key)}"
        if kind != _ARRAY:
            return Metadatum(key, self._value(kind, what), kind, None)
        item = self._number("I")
        count = self._number("Q")
        if item == _STRING:
            self._check_count(count, 8, f"texts under {what}")
            return Metadatum(key, [self._text(what) for _ in range(count)], kind, item)
        if item not in _SCALARS:
            raise self._damaged(f"{what} is an array of the type {item}, which is not known")
        size = struct.calcsize(f"<{_SCALARS[item]}")
        self._check_count(count, size, f"numbers under {what}")
        values = struct.unpack(f"<{count}{_SCALARS[item]}", self._take(count * size))
        return Metadatum(key, list(values), kind, item)

    def _value(self, kind: int, what: str) -> Any:  # noqa: ANN401 - the file decides
        if kind == _STRING:
            return self._text(what)
        if kind not in _SCALARS:
            raise self._damaged(f"{what} has the type {kind}, which is not known")
        return self._number(_SCALARS[kind])

    def _tensor(self) -> TensorPlace:
        """A tensor as it is stated: its offset counts from the first tensor's byte."""
        name = self._text("the name of a tensor", _LONGEST_NAME_BYTES)
        what = f"the tensor {_shown(name)}"
        rank = self._number("I")
        if not 1 <= rank <= _MOST_DIMENSIONS:
            raise self._damaged(
                f"{what} has {rank} dimensions; it must have 1 to {_MOST_DIMENSIONS}"
            )
        shape = struct.unpack(f"<{rank}Q", self._take(8 * rank))
        kind = self._number("I")
        if kind not in TENSOR_TYPES:
            raise self._damaged(f"{what} has the type {kind}, which is not known")
        type_name, block, block_bytes = TENSOR_TYPES[kind]
        elements = 1
        for size in shape:
            elements *= size
        if not 1 <= elements <= _MOST_ELEMENTS or shape[0] % block:
            sizes = " x ".join(map(str, shape))
            raise self._damaged(f"{what} has the shape {sizes}, which {type_name} can't have")
        offset = self._number("Q")
        return TensorPlace(name, shape[::-1], kind, offset, elements // block * block_bytes)

    def _alignment(self, stated: Metadatum | None) -> int:
        if stated is None:
            return _DEFAULT_ALIGNMENT
        value = stated.value
        if stated.type != _UINT32 or value < 1 or value & (value - 1):
            raise self._damaged(f"{_ALIGNMENT_KEY} is {value!r}; it must be a power of two, uint32")
        return int(value)

    def _placed(self, stated: dict[str, TensorPlace], alignment: int) -> dict[str, TensorPlace]:
        """Tensors follow each other, each from the next multiple of the alignment on."""
        start = self._at + -self._at % alignment
        expected = end = 0
        for row in stated.values():
            if row.offset != expected:
                raise self._damaged(
                    f"the tensor {_shown(row.name)} is at byte {row.offset} of the weights, but "
                    f"those before it end at {expected}"
                )
            end = expected + row.bytes
            expected = end + -end % alignment
        if stated and start + end > self._size:
            raise self._cut_off(start + end)
        return {
            name: TensorPlace(name, row.shape, row.type, start + row.offset, row.bytes)
            for name, row in stated.items()
        }

    def _text(self, what: str, longest: int | None = None) -> str:
        size = self._number("Q")
        if longest is not None and size > longest:
            raise self._damaged(f"{what} has {size} bytes; at most {longest} are allowed")
        try:
            return self._take(size).decode()
        except UnicodeDecodeError as exc:
            raise self._damaged(f"{what} has a text that is not UTF-8") from exc

    def _number(self, letter: str) -> Any:  # noqa: ANN401 - the letter decides
        kind = _STRUCTS[letter]
        return kind.unpack(self._take(kind.size))[0]

    def _check_count(self, count: int, smallest_bytes: int, what: str) -> None:
        """What can't lie within the file is not even begun."""
        if count > _MOST_ELEMENTS:
            raise self._damaged(f"it states {count} {what}")
        self._check_end(count * smallest_bytes)

    def _check_end(self, size: int) -> None:
        if size > _MOST_ELEMENTS:
            raise self._damaged(f"it states a length of {size} bytes at byte {self._at}")
        if self._at + size > self._size:
            raise self._cut_off(self._at + size)

    def _take(self, size: int) -> bytes:
        self._check_end(size)
        found = self._data[self._at : self._at + size]
        self._at += size
        return found

    def _cut_off(self, promised: int) -> IntegrityError:
        return IntegrityError(
            f"{self._path} is cut off: its header promises at least {promised} bytes, it has "
            f"{self._size}. Fetch or copy it anew."
        )

    def _damaged(self, problem: str) -> IntegrityError:
        return IntegrityError(f"{self._path} is a damaged GGUF file: {problem}.")


def _shown(name: str) -> str:
    return repr(name if len(name) <= _SHOWN_CHARACTERS else f"{name[:_SHOWN_CHARACTERS]}...")


def check_tokens(path: Path, header: GgufHeader) -> None:
    """Refuse a token that is there twice: llama.cpp asserts that none is.

    It gives names of their own to empty ones.

    Raises:
        IntegrityError: names the token.
    """
    row = header.metadata.get("tokenizer.ggml.tokens")
    tokens = [token for token in row.value if token] if row and isinstance(row.value, list) else []
    if len(set(tokens)) < len(tokens):
        twice = next(token for token in tokens if tokens.count(token) > 1)
        raise IntegrityError(f"{path} has the token {str(twice)[:40]!r} twice in its vocabulary.")
