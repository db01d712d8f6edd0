"""Which backend runs a bundle. Each runtime is imported by its own file, when it is chosen."""

from __future__ import annotations

from engine.backends.base import Backend
from engine.config import BackendChoice, EngineConfig
from engine.errors import ConfigurationError
from engine.model import BundleFile, FileRole, ModelBundle

_EXACTNESS = ("fp32", "f32", "f16", "bf16", "q8_0")
"""Precisions that `auto` chooses from, the most exact one first."""


def open_backend(bundle: ModelBundle, config: EngineConfig) -> Backend:
    """Load the file of the bundle that the options ask for.

    Raises:
        ConfigurationError: the bundle has no such file, or this machine can't run it.
        BundleError: the file can't be loaded.
    """
    from engine.backends.onnx import OnnxBackend

    if config.engine is BackendChoice.GGUF:
        raise ConfigurationError("The gguf engine is not part of this build.")
    entry = _choose_file(bundle, FileRole.ONNX, config.precision)
    data = bundle.manifest.file(FileRole.ONNX_DATA, entry.precision)
    bundle.verify_hashes([entry] if data is None else [entry, data])
    return OnnxBackend(
        bundle.path(entry),
        precision=entry.precision or "fp32",
        threads=config.threads,
        gpu=config.gpu,
    )


def _choose_file(bundle: ModelBundle, role: FileRole, precision: str) -> BundleFile:
    files = {entry.precision: entry for entry in bundle.manifest.files if entry.role is role}
    for wanted in _EXACTNESS if precision == "auto" else (precision,):
        if wanted in files:
            return files[wanted]
    offered = ", ".join(sorted(str(name) for name in files)) or "none"
    raise ConfigurationError(
        f"{bundle.manifest.name} has no {role.value} file of the precision {precision!r}. "
        f"It has: {offered}."
    )
