"""Tensors of a checkpoint's safetensors files, read one at a time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import ml_dtypes  # noqa: F401 - teaches numpy bfloat16, which safetensors asks it for
import numpy as np
from safetensors import SafetensorError, safe_open

from engine.errors import ExportError
from engine.model import combined_sha256, sha256_of
from engine.types import FloatArray


class CheckpointWeights:
    """The tensors of all parts by name.

    Raises:
        ExportError: a file is not a safetensors file.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        try:
            self._files = [safe_open(path, framework="numpy") for path in paths]
        except (SafetensorError, OSError) as exc:
            raise ExportError(f"{paths[0].parent} has damaged weights: {exc}.") from exc
        self._file_of = {name: file for file in self._files for name in _names(file)}

    @property
    def names(self) -> frozenset[str]:
        """Names of all tensors."""
        return frozenset(self._file_of)

    def read(self, name: str) -> FloatArray:
        """A tensor as float32; exact for float32, float16 and bfloat16.

        Raises:
            ExportError: there is none, or it has another type.
        """
        if name not in self._file_of:
            raise ExportError(f"The checkpoint has no tensor {name!r}.")
        values = self._file_of[name].get_tensor(name)  # type: ignore[no-untyped-call] # the stub has no types
        if values.dtype.name not in ("float32", "float16", "bfloat16"):
            raise ExportError(f"The tensor {name!r} has the type {values.dtype.name}, not a float.")
        return np.asarray(values, dtype=np.float32)


def _names(file: safe_open) -> list[str]:
    names: list[str] = file.keys()  # type: ignore[no-untyped-call] # the stub has no types
    return names


def weights_sha256(paths: Sequence[Path]) -> str:
    """Hash of the weights: the file's own, or of the parts' hashes in order of their names."""
    return combined_sha256([sha256_of(path) for path in paths])
