"""The kinds of sources, as one table: a new kind is one row and one file that opens it."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from engine.errors import ExportError
from engine.export.model_source import ModelSource, Opening
from engine.model import MANIFEST_NAME
from engine.model_files import open_regular

_GGUF_MAGIC = b"GGUF"
_WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
_ONNX = ("model.onnx", "onnx/model.onnx")


@dataclass(frozen=True, slots=True)
class SourceKind:
    """`find` gives the path to open, or None; `opener` is a function as `module:name`."""

    name: str
    form: str
    find: Callable[[Path], Path | None]
    opener: str

    def open(self, opening: Opening) -> ModelSource:
        """Read the source."""
        module, name = self.opener.split(":")
        opener = cast(
            "Callable[[Opening], ModelSource]", getattr(importlib.import_module(module), name)
        )
        return opener(opening)


def _bundle(path: Path) -> Path | None:
    return path if (path / MANIFEST_NAME).is_file() else None


def _checkpoint(path: Path) -> Path | None:
    has_weights = any((path / name).is_file() for name in _WEIGHTS)
    return path if has_weights and (path / "config.json").is_file() else None


def _onnx(path: Path) -> Path | None:
    has_graph = any((path / name).is_file() for name in _ONNX)
    return path if has_graph and (path / "tokenizer.json").is_file() else None


def _gguf(path: Path) -> Path | None:
    if path.is_file():
        with open_regular(path) as file:
            return path if file.read(len(_GGUF_MAGIC)) == _GGUF_MAGIC else None
    files = sorted(path.glob("*.gguf"))
    if len(files) > 1:
        names = ", ".join(file.name for file in files)
        raise ExportError(f"{path} has several GGUF files: {names}. Give the path of one.")
    return files[0] if files else None


SOURCE_KINDS = (
    SourceKind(
        "bundle",
        f"a bundle (a directory with {MANIFEST_NAME})",
        _bundle,
        "engine.export.from_bundle:open_bundle",
    ),
    SourceKind(
        "checkpoint",
        "a checkpoint (a directory with config.json, tokenizer.json and model.safetensors)",
        _checkpoint,
        "engine.export.from_checkpoint:open_checkpoint",
    ),
    SourceKind(
        "onnx",
        "an ONNX directory (model.onnx or onnx/model.onnx, tokenizer.json, config.json)",
        _onnx,
        "engine.export.from_onnx:open_onnx",
    ),
    SourceKind(
        "gguf",
        "a GGUF file, or a directory with one",
        _gguf,
        "engine.export.from_gguf:open_gguf",
    ),
)
"""Looked through in this order."""


def open_source(opening: Opening) -> ModelSource:
    """Read a source of any kind.

    Raises:
        ExportError: it is of no kind that is known, or can't be exported as asked for.
        BundleError: it is damaged.
    """
    path = opening.path
    try:
        for kind in SOURCE_KINDS:
            found = kind.find(path) if path.exists() else None
            if found is not None:
                return kind.open(replace(opening, path=found))
        if path.exists():
            forms = "; ".join(kind.form for kind in SOURCE_KINDS)
            raise ExportError(f"{path} is nothing that can be exported. It must be {forms}.")
    except PermissionError as exc:
        raise ExportError(f"{exc.filename or path} can't be read: {exc.strerror}.") from exc
    raise ExportError(f"There is nothing at {path}.")
