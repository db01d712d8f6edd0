"""Certifies the files of a bundle that is being made, by measuring them on what serves them."""

from __future__ import annotations

import datetime as dt
import importlib.metadata
from collections.abc import Sequence

from engine.errors import CertificateError, ConfigurationError, IntegrityError
from engine.export.progress import Progress
from engine.golden import GoldenSet
from engine.model import Agreement, Certificate, ModelBundle
from engine.verify import Run, measure, missing_runtime, open_run

_TOOLS = ("embellama", "gguf", "numpy", "onnx", "tokenizers")
_RUNTIME = {"onnx": "onnxruntime", "gguf": "llama-cpp-python", "openvino": "openvino"}
_OPTIONAL = frozenset({"openvino"})
"""Backends that need not be able to run a bundle: what can't be certified on them is not served."""


def measure_run(
    bundle: ModelBundle, run: Run, golden: GoldenSet, progress: Progress
) -> Agreement | None:
    """Measure a weights file; None, and a line that says why, where it can't be run here.

    Raises:
        BundleError: it can't be loaded.
    """
    reason = missing_runtime(run.backend)
    if reason is None:
        try:
            backend = open_run(bundle, run)
        except ConfigurationError as exc:
            reason = exc.message
        except IntegrityError as exc:
            if run.backend not in _OPTIONAL:
                raise
            reason = exc.message
    if reason is not None:
        progress(f"{run.entry.path} was not checked on {run.backend}: {reason}")
        return None
    manifest = bundle.manifest
    try:
        return measure(
            backend,
            golden,
            path=run.entry.path,
            pooling=manifest.pooling,
            normalize=manifest.normalize,
        )
    finally:
        backend.close()


def certify(
    golden: GoldenSet, agreements: Sequence[Agreement], notes: Sequence[str] = ()
) -> Certificate:
    """Put measurements and the versions of what made them together.

    Raises:
        CertificateError: a file is below its tolerance; a bundle with it must not be made.
    """
    for row in agreements:
        if not row.passed and row.backend not in _OPTIONAL:
            raise CertificateError(
                f"{row.path} on {row.backend} has a cosine of {row.min_cosine:.6f} to the source "
                f"on a golden text; at least {row.tolerance} is required. Nothing was written."
            )
    return Certificate(
        reference=golden.reference,
        texts=len(golden.texts),
        created=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        tools=_tool_versions({row.backend for row in agreements}),
        files=tuple(agreements),
        notes=tuple(notes),
    )


def _tool_versions(backends: set[str]) -> dict[str, str]:
    runtimes = sorted(_RUNTIME[name] for name in backends if name in _RUNTIME)
    versions = {}
    for name in (*_TOOLS, *runtimes):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
