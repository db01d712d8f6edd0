"""Which backend runs a bundle, and why. Each runtime is imported by its own file, when chosen."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass

from engine.backends.base import Backend
from engine.certified import agreement_of, computed_precision, holds, is_source
from engine.config import BackendChoice, EngineConfig
from engine.cpu import has_bf16
from engine.errors import ConfigurationError
from engine.model import BundleFile, FileRole, ModelBundle
from engine.onnx_external import check_external_files
from engine.precisions import EXACT, EXACTNESS, EXPORTED_PRECISIONS

_ROLES = {
    BackendChoice.ONNX: FileRole.ONNX,
    BackendChoice.GGUF: FileRole.GGUF,
    BackendChoice.OPENVINO: FileRole.ONNX,
}
_PACKAGES = {
    BackendChoice.ONNX: ("onnxruntime", "onnxruntime", "cpu"),
    BackendChoice.GGUF: ("llama_cpp", "llama-cpp-python", "gguf"),
    BackendChoice.OPENVINO: ("openvino", "openvino", "openvino"),
}
"""The module, the package and the extra of each runtime."""
_FP32, _BF16 = "fp32", "bf16"
_AUTO = "auto"
_AUTO_COSINE = 0.9999
"""Smallest certified cosine of what the precision `auto` serves."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The runtime and the file that serve a bundle, and one sentence that says why."""

    backend: BackendChoice
    file: BundleFile
    reason: str


def check_installed(backend: BackendChoice) -> None:
    """Return if the runtime's package is there; of `auto`, any is.

    Raises:
        ConfigurationError: it is not.
    """
    if backend is BackendChoice.AUTO:
        return
    module, package, extra = _PACKAGES[backend]
    if importlib.util.find_spec(module) is None:
        raise ConfigurationError(
            f"The engine {backend.value} needs the package {package}, which is not installed: "
            f"install the extra {extra!r}, or start with another --engine."
        )


def choose(bundle: ModelBundle, config: EngineConfig, *, fast_bf16: bool | None = None) -> Choice:
    """Decide which file of the bundle runs on which runtime.

    Args:
        bundle: what there is.
        config: what is asked for.
        fast_bf16: whether OpenVINO is installed and the CPU has bf16; looked up if None.

    Raises:
        ConfigurationError: the bundle has no file that the options ask for, or none that the
            precision `auto` may serve.
    """
    asked = f"engine={config.engine.value} was asked for"
    if config.engine is BackendChoice.OPENVINO:
        return _choose_openvino(bundle, config, asked)
    if config.engine is not BackendChoice.AUTO:
        return _choose_runtime(bundle, config, (config.engine,), asked)
    if config.gpu:
        order = (BackendChoice.GGUF, BackendChoice.ONNX)
        return _choose_runtime(bundle, config, order, "auto takes gguf on a GPU")
    if config.precision == _BF16 and _FP32 in _files(bundle, BackendChoice.OPENVINO):
        return _choose_openvino(bundle, config, "bf16 on a CPU is computed by openvino")
    certified = _certified_on_openvino(bundle)
    exact_enough = config.precision == _AUTO and certified >= _AUTO_COSINE
    if exact_enough and (_has_fast_bf16() if fast_bf16 is None else fast_bf16):
        reason = f"auto takes bf16 on openvino, certified to a cosine of {certified:.6f}"
        return _choose_openvino(bundle, config, reason)
    order = (BackendChoice.ONNX, BackendChoice.GGUF)
    return _choose_runtime(bundle, config, order, "auto takes onnx on a CPU")


def _choose_runtime(
    bundle: ModelBundle, config: EngineConfig, order: tuple[BackendChoice, ...], reason: str
) -> Choice:
    """The first runtime, unless only another one has what is asked for, or has it more exact."""
    if config.precision == _AUTO:
        return _choose_for_auto(bundle, order, reason)
    precision = config.precision
    having = [backend for backend in order if precision in _files(bundle, backend)]
    if not having:
        backends = [backend for backend in order if _files(bundle, backend)] or order
        raise _no_file(bundle, backends[0], precision)
    if having[0] is not order[0]:
        reason += f", but only {having[0].value} has a {precision} file"
    return Choice(having[0], _files(bundle, having[0])[precision], reason)


def _choose_for_auto(bundle: ModelBundle, order: tuple[BackendChoice, ...], reason: str) -> Choice:
    """Of the first runtime that has one, the most exact file that `auto` may serve."""
    allowed = [
        (backend, file)
        for backend in order
        for _, file in _by_exactness(_files(bundle, backend))
        if _auto_may_serve(bundle, backend, file)
    ]
    if not allowed:
        return Choice(*_what_was_refused(bundle, order), reason)
    exact = [(backend, file) for backend, file in allowed if (file.precision or _FP32) in EXACT]
    backend, file = (exact or allowed)[0]
    if backend is not order[0]:
        lacking = "exact enough" if _files(bundle, order[0]) else f"{order[0].value}"
        reason += f", but the bundle has no {lacking} file for it"
    return Choice(backend, file, reason)


def _auto_may_serve(bundle: ModelBundle, backend: BackendChoice, file: BundleFile) -> bool:
    """Whether its vectors are the source's to a cosine of 0.9999, as far as anyone measured.

    So it is for what was certified to be as close, for the source's own file, and for float
    weights whose runtime was missing when the bundle was made.
    """
    row = agreement_of(bundle.manifest, file, backend.value)
    precision = computed_precision(file, backend.value)
    own = backend is not BackendChoice.OPENVINO and is_source(bundle.manifest, file)
    if row is None:
        return own or precision in EXACT
    return holds(row, precision) and (own or row.min_cosine >= _AUTO_COSINE)


def _what_was_refused(
    bundle: ModelBundle, order: tuple[BackendChoice, ...]
) -> tuple[BackendChoice, BundleFile]:
    """The most exact file, where loading says what is wrong with it: no file can be asked for.

    Raises:
        ConfigurationError: there is one that can be, or there is none at all.
    """
    files = [
        (backend, file)
        for backend in order
        for _, file in _by_exactness(_files(bundle, backend))
        if backend is not BackendChoice.OPENVINO or file.precision in (None, _FP32)
    ]
    if not files:
        wanted = _FP32 if order[0] is BackendChoice.OPENVINO else _AUTO
        raise _no_file(bundle, order[0], wanted)
    found, usable = [], []
    for backend, file in files:
        precision = computed_precision(file, backend.value)
        row = agreement_of(bundle.manifest, file, backend.value)
        if row is None or holds(row, precision):
            usable.append(precision)
        measured = "not measured" if row is None else f"{row.min_cosine:.6f}"
        found.append(f"{precision} on {backend.value} ({measured})")
    if not usable:
        return files[0]
    raise ConfigurationError(
        f"{bundle.manifest.name} has no file that the precision auto may serve: it must be "
        f"certified to a cosine of {_AUTO_COSINE} to the source. It has: {', '.join(found)}. "
        f"Ask for one by --precision, such as --precision {usable[0]}."
    )


def _choose_openvino(bundle: ModelBundle, config: EngineConfig, reason: str) -> Choice:
    if config.gpu:
        raise ConfigurationError("OpenVINO runs on the CPU here. Start without --gpu.")
    if config.precision not in (_AUTO, _BF16):
        raise ConfigurationError(
            f"OpenVINO computes in bf16 here, not in {config.precision!r}. Start with --precision "
            "bf16, or with --engine onnx."
        )
    backend = BackendChoice.OPENVINO
    file = _files(bundle, backend).get(_FP32)
    if file is None:
        raise _no_file(bundle, backend, _FP32)
    if config.precision == _AUTO and not _auto_may_serve(bundle, backend, file):
        return Choice(*_what_was_refused(bundle, (backend,)), reason)
    return Choice(backend, file, reason)


def _certified_on_openvino(bundle: ModelBundle) -> float:
    """What the certificate says of the fp32 ONNX file on OpenVINO; 0 if nothing, or no pass."""
    file = _files(bundle, BackendChoice.OPENVINO).get(_FP32)
    if file is None:
        return 0.0
    row = agreement_of(bundle.manifest, file, BackendChoice.OPENVINO.value)
    return row.min_cosine if row is not None and holds(row, _BF16) else 0.0


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
    check_installed(choice.backend)
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
    return open_onnx(bundle, choice.file, threads=config.threads, gpu=config.gpu)


def open_onnx(
    bundle: ModelBundle, file: BundleFile, *, threads: int | None = None, gpu: bool = False
) -> Backend:
    """Load an ONNX file into ONNX Runtime.

    Raises:
        ConfigurationError: this machine can't run it.
        IntegrityError: it can't be loaded, or takes weights from a file that is not listed.
    """
    from engine.backends.onnx import OnnxBackend

    _check_external_files(bundle, file)
    precision = file.precision or "fp32"
    return OnnxBackend(bundle.path(file), precision=precision, threads=threads, gpu=gpu)


def _check_external_files(bundle: ModelBundle, file: BundleFile) -> None:
    """The runtime opens whatever file it finds named: all must be among those that are hashed."""
    data = bundle.manifest.file(FileRole.ONNX_DATA, file.precision)
    check_external_files(bundle.path(file), () if data is None else (data.path,))


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
    _check_external_files(bundle, file)
    return OpenVinoBackend(
        bundle.path(file), max_input_tokens=bundle.manifest.max_input_tokens, threads=threads
    )


def _no_file(bundle: ModelBundle, backend: BackendChoice, precision: str) -> ConfigurationError:
    """Says what there is, and how to make what is asked for, or else what can be asked for."""
    name, role = bundle.manifest.name, _ROLES[backend]
    offered = ", ".join(sorted(_files(bundle, backend))) or "none"
    which = "" if precision == _AUTO else f" of the precision {precision!r}"
    message = f"{name} has no {backend.value} file{which}. It has: {offered}."
    exported = EXPORTED_PRECISIONS[role]
    wanted = exported[0] if precision == _AUTO else precision
    if wanted in exported:
        made = f"embellama export SOURCE --output DIR --{role.value} {wanted}"
        return ConfigurationError(f"{message} Make one with: {made}.")
    known = ", ".join(dict.fromkeys((_AUTO, *sorted(_files(bundle, backend)), *exported)))
    return ConfigurationError(f"{message} What can be made and asked for: {known}.")


def _by_exactness(files: dict[str, BundleFile]) -> list[tuple[str, BundleFile]]:
    ranks = {precision: rank for rank, precision in enumerate(EXACTNESS)}
    return sorted(files.items(), key=lambda item: (ranks.get(item[0], len(ranks)), item[0]))


def _files(bundle: ModelBundle, backend: BackendChoice) -> dict[str, BundleFile]:
    """Weights files for a backend, by precision."""
    role = _ROLES[backend]
    return {
        entry.precision or "fp32": entry for entry in bundle.manifest.files if entry.role is role
    }
