"""The default model with all the files that a GPU may run, made once into the tests' cache."""

from __future__ import annotations

from pathlib import Path

from engine.export import EXPORTER_VERSION
from engine.export.atomic import build_once
from engine.export.bundle import write_bundle
from engine.export.default_model import DEFAULT_MODEL_NAME, installed_checkpoint
from engine.export.options import ExportOptions
from engine.export.progress import to_stderr
from engine.model import is_bundle

CACHE = Path(__file__).resolve().parents[2] / ".cache" / "tests"
_OPTIONS = ExportOptions(
    DEFAULT_MODEL_NAME, gguf=("f32", "f16", "q8_0"), onnx=("fp32", "q8_0"), force=True
)


def gpu_bundle() -> Path:
    """Its directory."""
    target = CACHE / f"{DEFAULT_MODEL_NAME}-gpu-{EXPORTER_VERSION}"
    CACHE.mkdir(parents=True, exist_ok=True)
    build_once(
        target,
        is_complete=is_bundle,
        build=_build,
        progress=to_stderr,
    )
    return target


def _build(directory: Path) -> None:
    write_bundle(installed_checkpoint(), directory, _OPTIONS, to_stderr)
