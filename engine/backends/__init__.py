"""Which backend runs a bundle, and why. Each runtime is imported by its own file, when chosen."""

from __future__ import annotations

from dataclasses import dataclass

from engine.backends.base import Backend
from engine.config import BackendChoice, EngineConfig
from engine.errors import ConfigurationError
from engine.model import BundleFile, FileRole, ModelBundle

_EXACTNESS = ("fp32", "f32", "f16", "bf16", "q8_0")
"""What `auto` looks for, the most exact one first; then it takes whatever there is."""
_ROLES = {BackendChoice.ONNX: FileRole.ONNX, BackendChoice.GGUF: FileRole.GGUF}


@dataclass(frozen=True, slots=True)
class Choice:
    """The runtime and the file that serve a bundle, and one sentence that says why."""

    backend: BackendChoice
    file: BundleFile
    reason: str


def choose(bundle: ModelBundle, config: EngineConfig) -> Choice:
    """Decide which file of the bundle runs on which runtime.

    Raises:
        ConfigurationError: the bundle has no file that the options ask for.
    """
    if config.engine is not BackendChoice.AUTO:
        entry = _choose_file(bundle, config.engine, config.precision)
        return Choice(config.engine, entry, f"engine={config.engine.value} was asked for")
    preferred, other = BackendChoice.ONNX, BackendChoice.GGUF
    reason = "auto takes onnx on a CPU"
    if config.gpu:
        preferred, other = other, preferred
        reason = "auto takes gguf on a GPU"
    if _files(bundle, preferred):
        return Choice(preferred, _choose_file(bundle, preferred, config.precision), reason)
    entry = _choose_file(bundle, other, config.precision)
    return Choice(other, entry, f"{reason}, but the bundle has no {preferred.value} file")


def weights_of(bundle: ModelBundle, choice: Choice) -> list[BundleFile]:
    """The files that the chosen runtime loads."""
    data = None
    if choice.backend is BackendChoice.ONNX:
        data = bundle.manifest.file(FileRole.ONNX_DATA, choice.file.precision)
    return [choice.file] if data is None else [choice.file, data]


def open_backend(
    bundle: ModelBundle, config: EngineConfig, choice: Choice, *, max_input_tokens: int
) -> Backend:
    """Load the chosen file.

    Raises:
        ConfigurationError: this machine can't run it.
        BundleError: the file was altered or can't be loaded.
    """
    precision = choice.file.precision or "fp32"
    bundle.verify_hashes(weights_of(bundle, choice))
    if choice.backend is BackendChoice.GGUF:
        from engine.backends.gguf import PREFERRED_BATCH_TOKENS, GgufBackend

        return GgufBackend(
            bundle.path(choice.file),
            pooling=bundle.manifest.pooling,
            precision=precision,
            max_input_tokens=max_input_tokens,
            max_batch_tokens=config.max_batch_tokens or PREFERRED_BATCH_TOKENS,
            threads=config.threads,
            gpu=config.gpu,
        )
    from engine.backends.onnx import OnnxBackend

    return OnnxBackend(
        bundle.path(choice.file), precision=precision, threads=config.threads, gpu=config.gpu
    )


def _choose_file(bundle: ModelBundle, backend: BackendChoice, precision: str) -> BundleFile:
    files = _files(bundle, backend)
    for wanted in (*_EXACTNESS, *sorted(files)) if precision == "auto" else (precision,):
        if wanted in files:
            return files[wanted]
    offered = ", ".join(sorted(files)) or "none"
    raise ConfigurationError(
        f"{bundle.manifest.name} has no {backend.value} file of the precision {precision!r}. "
        f"It has: {offered}."
    )


def _files(bundle: ModelBundle, backend: BackendChoice) -> dict[str, BundleFile]:
    """Weights files for a backend, by precision."""
    role = _ROLES[backend]
    return {
        entry.precision or "fp32": entry for entry in bundle.manifest.files if entry.role is role
    }
