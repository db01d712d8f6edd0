"""Reads a GGUF file: metadata, tensors as float32, and their blocks as they are stored."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray

from engine.errors import ExportError, IntegrityError
from engine.gguf_header import GgufHeader, Metadatum, TensorPlace
from engine.gguf_types import precision_of
from engine.model import MOST_INPUT_TOKENS
from engine.types import FloatArray

_STORED = {
    gguf.GGMLQuantizationType.F32: "<f4",
    gguf.GGMLQuantizationType.F16: "<f2",
}
"""Types whose numbers numpy has; all others are bytes of blocks, row by row."""
_MOST = (1 << 31) - 1
"""Hyperparameters are 32-bit numbers to llama.cpp."""


class GgufFile:
    """An opened GGUF file. Tensors are mapped from disk and dequantised when read."""

    def __init__(self, path: Path) -> None:
        """Read the header.

        Raises:
            ExportError: the file can't be read, is cut short, is damaged, or is not GGUF.
        """
        self.path = path
        try:
            self._header = GgufHeader.read(path)
        except IntegrityError as exc:
            raise ExportError(exc.message) from exc
        self._bytes = np.memmap(path, mode="r")
        self.architecture = self.text("general.architecture")

    @property
    def names(self) -> frozenset[str]:
        """Names of all tensors."""
        return frozenset(self._header.tensors)

    @property
    def precision(self) -> str:
        """What the header says that the file is, such as `q4_k_m`; see `precision_of`.

        Raises:
            ExportError: the file has no weights of blocks.
        """
        if not any(name.startswith("blk.") for name in self.names):
            raise ExportError(f"{self.path} has no weights of blocks, so it is no model.")
        return precision_of(self._header)

    def metadata(self) -> Iterator[Metadatum]:
        """All keys of the header in the file's order."""
        yield from self._header.metadata.values()

    def value(self, key: str) -> Any:  # noqa: ANN401 - the file decides
        """Metadata under this key.

        Raises:
            ExportError: there is none.
        """
        if key not in self._header.metadata:
            raise ExportError(f"{self.path} has no metadata {key!r}.")
        return self._header.metadata[key].value

    def optional(self, key: str, default: Any = None) -> Any:  # noqa: ANN401 - the file decides
        """Metadata under this key, or the default."""
        return self.value(key) if key in self._header.metadata else default

    def text(self, key: str) -> str:
        """A text under this key.

        Raises:
            ExportError: there is none.
        """
        value = self.value(key)
        if not isinstance(value, str):
            raise self._wrong(key, value, "a text")
        return value

    def hyperparameter(self, key: str) -> Any:  # noqa: ANN401 - the file decides
        """Metadata of the file's architecture: `block_count` reads `bert.block_count`."""
        return self.value(f"{self.architecture}.{key}")

    def number(self, key: str, *, most: int = _MOST) -> int:
        """A hyperparameter that is a whole number from 1 to `most`.

        Raises:
            ExportError: there is none, or it is something else.
        """
        value = self.hyperparameter(key)
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
            raise self._wrong(f"{self.architecture}.{key}", value, f"a whole number, 1 to {most}")
        return value

    @property
    def context_length(self) -> int:
        """Tokens that the model has positions for.

        Raises:
            ExportError: it is not stated, or beyond any model's.
        """
        return self.number("context_length", most=MOST_INPUT_TOKENS)

    def real(self, key: str) -> float:
        """A hyperparameter that is a number above 0.

        Raises:
            ExportError: there is none, or it is something else.
        """
        value = self.hyperparameter(key)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not (math.isfinite(value) and value > 0):
            raise self._wrong(f"{self.architecture}.{key}", value, "a number above 0")
        return float(value)

    def type_of(self, name: str) -> gguf.GGMLQuantizationType:
        """How a tensor is stored."""
        return gguf.GGMLQuantizationType(self._tensor(name).type)

    def shape_of(self, name: str) -> tuple[int, ...]:
        """The shape of a tensor, in row-major order."""
        return self._tensor(name).shape

    def stored(self, name: str) -> NDArray[np.generic]:
        """A tensor as it is stored: floats, or bytes of blocks, row by row."""
        place = self._tensor(name)
        data = self._bytes[place.offset : place.offset + place.bytes]
        dtype = _STORED.get(self.type_of(name))
        if dtype is None:
            rows = place.shape[:-1]
            return data.reshape(*rows, place.bytes // math.prod(rows))
        return data.view(dtype).reshape(place.shape)

    def tensor(self, name: str) -> FloatArray:
        """A tensor, dequantised exactly as llama.cpp does, in row-major order.

        Raises:
            ExportError: there is none, its quantisation is not known, or its numbers are not
                finite.
        """
        kind = self.type_of(name)
        try:
            with np.errstate(all="ignore"):  # looked at below
                values = gguf.quants.dequantize(self.stored(name), kind)
        except NotImplementedError as exc:
            raise ExportError(
                f"{self.path}: the tensor {name!r} is {kind.name}, which can't be dequantised."
            ) from exc
        floats = np.asarray(values, dtype=np.float32)
        if not np.isfinite(floats).all():
            raise ExportError(f"{self.path}: the tensor {name!r} has numbers that are not finite.")
        return floats

    def _tensor(self, name: str) -> TensorPlace:
        if name not in self._header.tensors:
            raise ExportError(f"{self.path} has no tensor {name!r}.")
        return self._header.tensors[name]

    def _wrong(self, key: str, value: object, wanted: str) -> ExportError:
        return ExportError(f"{self.path} has {key}={_shown(value)}; it must be {wanted}.")


def _shown(value: object) -> str:
    return f"a list of {len(value)}" if isinstance(value, list) else repr(value)[:80]
