"""Reads a GGUF file: metadata, tensors as float32, and their blocks as they are stored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray

from engine.errors import ExportError
from engine.types import FloatArray


@dataclass(frozen=True, slots=True)
class Metadatum:
    """A key of the header with its value and the type that the file states."""

    key: str
    value: Any
    type: gguf.GGUFValueType
    item_type: gguf.GGUFValueType | None


class GgufFile:
    """An opened GGUF file. Tensors are mapped from disk and dequantised when read."""

    def __init__(self, path: Path) -> None:
        """Read the header.

        Raises:
            ExportError: the file can't be read, is cut short, or is not GGUF.
        """
        self.path = path
        try:
            reader = gguf.GGUFReader(path)
        except OSError as exc:
            raise ExportError(f"{path} can't be read: {exc.strerror or exc}.") from exc
        except (ValueError, IndexError, KeyError) as exc:
            raise ExportError(f"{path} is not a GGUF file, or is cut short: {exc}.") from exc
        self._fields = reader.fields
        self._tensors = {str(tensor.name): tensor for tensor in reader.tensors}
        self.architecture = str(self.value("general.architecture"))

    @property
    def names(self) -> frozenset[str]:
        """Names of all tensors."""
        return frozenset(self._tensors)

    @property
    def precision(self) -> str:
        """Type of most of the weights in the blocks, in lower case, such as `q4_k`."""
        sizes: Counter[str] = Counter()
        for name, tensor in self._tensors.items():
            if name.startswith("blk."):
                sizes[tensor.tensor_type.name.lower()] += int(tensor.n_elements)
        if not sizes:
            raise ExportError(f"{self.path} has no weights of blocks, so it is no model.")
        return sizes.most_common(1)[0][0]

    def metadata(self) -> Iterator[Metadatum]:
        """All keys of the header in the file's order, without the reader's own."""
        for key, field in self._fields.items():
            if not key.startswith("GGUF."):
                item = field.types[-1] if field.types[0] is gguf.GGUFValueType.ARRAY else None
                yield Metadatum(key, field.contents(), field.types[0], item)

    def value(self, key: str) -> Any:  # noqa: ANN401 - the file decides
        """Metadata under this key.

        Raises:
            ExportError: there is none.
        """
        if key not in self._fields:
            raise ExportError(f"{self.path} has no metadata {key!r}.")
        return self._fields[key].contents()

    def optional(self, key: str, default: Any = None) -> Any:  # noqa: ANN401 - the file decides
        """Metadata under this key, or the default."""
        return self._fields[key].contents() if key in self._fields else default

    def hyperparameter(self, key: str) -> Any:  # noqa: ANN401 - the file decides
        """Metadata of the file's architecture: `block_count` reads `bert.block_count`."""
        return self.value(f"{self.architecture}.{key}")

    def type_of(self, name: str) -> gguf.GGMLQuantizationType:
        """How a tensor is stored."""
        return self._tensor(name).tensor_type

    def stored(self, name: str) -> NDArray[np.generic]:
        """A tensor as it is stored: floats, or bytes of blocks, row by row."""
        data: NDArray[np.generic] = self._tensor(name).data
        return data

    def tensor(self, name: str) -> FloatArray:
        """A tensor, dequantised exactly as llama.cpp does, in row-major order.

        Raises:
            ExportError: there is none, or its quantisation is not known.
        """
        tensor = self._tensor(name)
        try:
            values = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        except NotImplementedError as exc:
            raise ExportError(
                f"{self.path}: the tensor {name!r} is {tensor.tensor_type.name}, "
                "which can't be dequantised."
            ) from exc
        return np.asarray(values, dtype=np.float32)

    def _tensor(self, name: str) -> gguf.ReaderTensor:
        if name not in self._tensors:
            raise ExportError(f"{self.path} has no tensor {name!r}.")
        return self._tensors[name]
