"""Tensors of a checkpoint's safetensors files, read one at a time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import ml_dtypes  # noqa: F401 - teaches numpy bfloat16, which safetensors asks it for
import numpy as np
from safetensors import SafetensorError, safe_open

from engine.errors import ExportError
from engine.model import combined_sha256, sha256_of
from engine.model_files import open_regular
from engine.types import FloatArray

_FLOATS = frozenset({"F32", "F16", "BF16"})


class CheckpointWeights:
    """The tensors of all parts by name.

    Raises:
        ExportError: a file can't be read, or is not a safetensors file.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        for path in paths:
            try:
                open_regular(path).close()  # safetensors says "No such file" whatever it is
            except OSError as exc:
                raise ExportError(f"{path} can't be read: {exc.strerror or exc}.") from exc
        try:
            self._files = [safe_open(path, framework="numpy") for path in paths]
        except (SafetensorError, OSError) as exc:
            raise ExportError(f"{paths[0].parent} has damaged weights: {exc}.") from exc
        self._file_of = {name: file for file in self._files for name in _names(file)}

    @property
    def names(self) -> frozenset[str]:
        """Names of all tensors."""
        return frozenset(self._file_of)

    def rows(self, name: str) -> int:
        """The first dimension of a tensor, 0 where it has none; its numbers are not read.

        Raises:
            ExportError: there is no such tensor.
        """
        shape: list[int] = self._file(name).get_slice(name).get_shape()  # type: ignore[no-untyped-call] # the stub has no types
        return shape[0] if shape else 0

    def read(self, name: str) -> FloatArray:
        """A tensor as float32; exact for float32, float16 and bfloat16.

        Raises:
            ExportError: there is none, or it has another type.
        """
        file = self._file(name)
        kind = file.get_slice(name).get_dtype()  # type: ignore[no-untyped-call] # the stub has no types
        if kind not in _FLOATS:  # for some of the others the library raises what it does not say
            raise ExportError(
                f"The tensor {name!r} has the type {kind}, not a float of 16 or 32 bits."
            )
        values = file.get_tensor(name)  # type: ignore[no-untyped-call] # the stub has no types
        return np.asarray(values, dtype=np.float32)

    def _file(self, name: str) -> safe_open:
        if name not in self._file_of:
            raise ExportError(f"The checkpoint has no tensor {name!r}.")
        return self._file_of[name]


def _names(file: safe_open) -> list[str]:
    names: list[str] = file.keys()  # type: ignore[no-untyped-call] # the stub has no types
    return names


def weights_sha256(paths: Sequence[Path]) -> str:
    """Hash of the weights: the file's own, or of the parts' hashes in order of their names."""
    return combined_sha256([sha256_of(path) for path in paths])
