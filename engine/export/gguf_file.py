"""Reads a GGUF file: hyperparameters, and tensors as float32."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np

from engine.errors import ExportError
from engine.types import FloatArray


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
        except (OSError, ValueError, IndexError, KeyError) as exc:
            raise ExportError(f"{path} is not a GGUF file, or is cut short: {exc}.") from exc
        self._fields = reader.fields
        self._tensors = {str(tensor.name): tensor for tensor in reader.tensors}
        self.architecture = str(self.value("general.architecture"))

    @property
    def names(self) -> frozenset[str]:
        """Names of all tensors."""
        return frozenset(self._tensors)

    def value(self, key: str) -> Any:  # noqa: ANN401 - the file decides
        """Metadata under this key.

        Raises:
            ExportError: there is none.
        """
        if key not in self._fields:
            raise ExportError(f"{self.path} has no metadata {key!r}.")
        return self._fields[key].contents()

    def hyperparameter(self, key: str) -> Any:  # noqa: ANN401 - the file decides
        """Metadata of the file's architecture: `block_count` reads `bert.block_count`."""
        return self.value(f"{self.architecture}.{key}")

    def tensor(self, name: str) -> FloatArray:
        """A tensor, dequantised exactly as llama.cpp does, in row-major order.

        Raises:
            ExportError: there is none, or its quantisation is not known.
        """
        if name not in self._tensors:
            raise ExportError(f"{self.path} has no tensor {name!r}.")
        tensor = self._tensors[name]
        try:
            values = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        except NotImplementedError as exc:
            raise ExportError(
                f"{self.path}: the tensor {name!r} is {tensor.tensor_type.name}, "
                "which can't be dequantised."
            ) from exc
        return np.asarray(values, dtype=np.float32)
