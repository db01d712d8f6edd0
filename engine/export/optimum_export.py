"""Architectures without an exporter here: optimum writes the ONNX file, with torch."""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import replace
from typing import Any

from engine.errors import ExportError, UnsupportedArchitectureError
from engine.export.checkpoint import Checkpoint
from engine.export.from_onnx import source_of_onnx
from engine.export.model_source import ModelSource, Opening
from engine.export.options import Facts
from engine.export.weights import weights_sha256

_ADVICE = (
    "Other architectures are exported by optimum and torch, which are not installed here. Export "
    "in an environment of its own that has them (in this project's directory: "
    "pip install '.[cpu,export,optimum]'), or take a directory with an ONNX file as SOURCE."
)


def open_with_optimum(
    checkpoint: Checkpoint,
    facts: Facts,
    opening: Opening,
    reason: UnsupportedArchitectureError,
) -> ModelSource:
    """Have optimum export the checkpoint to ONNX, which is then the reference of the bundle.

    Raises:
        UnsupportedArchitectureError: optimum is not installed.
        ExportError: optimum can't export it either.
    """
    if not is_installed():
        raise UnsupportedArchitectureError(
            architecture=reason.architecture, supported=reason.supported, advice=_ADVICE
        ) from reason
    opening.progress(f"exporting {checkpoint.directory} with optimum ...")
    directory = opening.work / "optimum"
    exporters: Any = importlib.import_module("optimum.exporters.onnx")
    try:
        exporters.main_export(
            str(checkpoint.directory), output=directory, task="feature-extraction", device="cpu"
        )
    except Exception as exc:  # whatever optimum, transformers or torch raise
        raise ExportError(f"optimum can't export {checkpoint.directory}: {exc}") from exc
    source = source_of_onnx(directory, checkpoint, facts)
    # The vector space is that of the weights; the file's bytes differ from torch to torch.
    return replace(source, weights_sha256=weights_sha256(checkpoint.weights))


def is_installed() -> bool:
    """Whether optimum and torch can be imported."""
    return all(importlib.util.find_spec(name) is not None for name in ("optimum", "torch"))
