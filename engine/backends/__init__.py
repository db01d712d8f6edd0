"""Which backend runs a bundle, and why. Each runtime is imported by its own file, when chosen."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass

from engine.backends.base import Backend
from engine.config import BackendChoice, EngineConfig
from engine.cpu import has_bf16
from engine.errors import ConfigurationError
from engine.model import BundleFile, FileRole, ModelBundle

_EXACTNESS = ("fp32", "f32", "f16", "bf16", "q8_0", "int8")
"""What `auto` looks for, the most exact one first; then it takes whatever there is."""
_EXACT = frozenset({"fp32", "f32", "f16"})
_ROLES = {
    BackendChoice.ONNX: FileRole.ONNX,
    BackendChoice.GGUF: FileRole.GGUF,
    BackendChoice.OPENVINO: FileRole.ONNX,
}
_FP32, _BF16 = "fp32", "bf16"
_AUTO_COSINE = 0.9999
"""Smallest certified cosine of a computation that `auto` takes in place of the exact one."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The runtime and the file that serve a bundle, and one sentence that says why."""

    backend: BackendChoice
    file: BundleFile
    reason: str


def choose(bundle: ModelBundle, config: EngineConfig, *, fast_bf16: bool | None = None) -> Choice:
    """Decide which file of the bundle runs on which runtime.

    Args:
        bundle: what there is.
        config: what is asked for.
        fast_bf16: whether OpenVINO is installed and the CPU has bf16; looked up if None.

    Raises:
        ConfigurationError: the bundle has no file that the options ask for.
    """
    if config.engine is BackendChoice.OPENVINO:
        return _choose_openvino(bundle, config, "engine=openvino was asked for")
    if config.engine is not BackendChoice.AUTO:
        entry = _choose_file(bundle, config.engine, config.precision)
        return Choice(config.engine, entry, f"engine={config.engine.value} was asked for")
    if config.gpu:
        return _choose_runtime(bundle, config, BackendChoice.GGUF, BackendChoice.ONNX)
    if config.precision == _BF16 and _FP32 in _files(bundle, BackendChoice.OPENVINO):
        return _choose_openvino(bundle, config, "bf16 on a CPU is computed by openvino")
    certified = _certified_cosine(bundle)
    exact_enough = config.precision == "auto" and certified >= _AUTO_COSINE
    if exact_enough and (_has_fast_bf16() if fast_bf16 is None else fast_bf16):
        reason = f"auto takes bf16 on openvino, certified to a cosine of {certified:.6f}"
        return _choose_openvino(bundle, config, reason)
    return _choose_runtime(bundle, config, BackendChoice.ONNX, BackendChoice.GGUF)


def _choose_runtime(
    bundle: ModelBundle, config: EngineConfig, preferred: BackendChoice, other: BackendChoice
) -> Choice:
    """The preferred runtime, unless only the other one has a file, or an exact one for `auto`."""
    reason = f"auto takes {preferred.value} on a {'GPU' if config.gpu else 'CPU'}"
    files, others = _files(bundle, preferred), _files(bundle, other)
    if not files:
        entry = _choose_file(bundle, other, config.precision)
        return Choice(other, entry, f"{reason}, but the bundle has no {preferred.value} file")
    if config.precision == "auto" and _EXACT.isdisjoint(files) and not _EXACT.isdisjoint(others):
        entry = _choose_file(bundle, other, config.precision)
        return Choice(other, entry, f"{reason}, but only {other.value} has an exact file")
    return Choice(preferred, _choose_file(bundle, preferred, config.precision), reason)


def _choose_openvino(bundle: ModelBundle, config: EngineConfig, reason: str) -> Choice:
    if config.gpu:
        raise ConfigurationError("OpenVINO runs on the CPU here. Start without --gpu.")
    if config.precision not in ("auto", _BF16):
        raise ConfigurationError(
            f"OpenVINO computes in bf16 here, not in {config.precision!r}. Start with --precision "
            "bf16, or with --engine onnx."
        )
    return Choice(
        BackendChoice.OPENVINO, _choose_file(bundle, BackendChoice.OPENVINO, _FP32), reason
    )


def _certified_cosine(bundle: ModelBundle) -> float:
    """What the certificate says of the fp32 ONNX file on OpenVINO; 0 if nothing, or no pass."""
    file = _files(bundle, BackendChoice.OPENVINO).get(_FP32)
    certificate = bundle.manifest.certificate
    if file is None or certificate is None:
        return 0.0
    for row in certificate.files:
        if (row.path, row.backend) == (file.path, BackendChoice.OPENVINO.value) and row.passed:
            return row.min_cosine
    return 0.0


def _has_fast_bf16() -> bool:
    return importlib.util.find_spec("openvino") is not None and has_bf16()


def weights_of(bundle: ModelBundle, choice: Choice) -> list[BundleFile]:
    """The files that the chosen runtime loads."""
    data = None
    if _ROLES[choice.backend] is FileRole.ONNX:
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
    if choice.backend is BackendChoice.OPENVINO:
        return open_openvino(bundle, choice.file, threads=config.threads)
    from engine.backends.onnx import OnnxBackend

    return OnnxBackend(
        bundle.path(choice.file), precision=precision, threads=config.threads, gpu=config.gpu
    )


def open_openvino(bundle: ModelBundle, file: BundleFile, *, threads: int | None = None) -> Backend:
    """Load the fp32 ONNX file into OpenVINO.

    Raises:
        ConfigurationError: it is not installed, or the CPU has no bf16.
        IntegrityError: it can't load the file.
    """
    try:
        from engine.backends.openvino import OpenVinoBackend
    except ImportError as exc:
        raise ConfigurationError(
            f"openvino can't be used: {exc}. Install the extra 'openvino', or start with "
            "--engine onnx."
        ) from exc
    return OpenVinoBackend(
        bundle.path(file), max_input_tokens=bundle.manifest.max_input_tokens, threads=threads
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
