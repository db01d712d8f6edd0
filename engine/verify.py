"""Does this machine compute a bundle's certified vectors? Every file, on every golden text."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from engine.backends import open_onnx, open_openvino
from engine.backends.base import Backend
from engine.certified import agreement_of, computed_precision, holds
from engine.errors import BundleError, ConfigurationError, EmbellamaError, IntegrityError
from engine.golden import GoldenSet, closeness, minimum_cosine
from engine.model import Agreement, BundleFile, FileRole, ModelBundle
from engine.pooling import pool
from engine.postprocess import finish
from engine.tokenizer import Tokenizer
from engine.types import Batch, Encoding, Pooling, Truncate

_BATCH = 8
"""Neighbours in the file differ in length, so padding is part of what is measured."""
_WEIGHTS = {FileRole.ONNX: "onnx", FileRole.GGUF: "gguf"}
_OPENVINO = "openvino"
_PACKAGE = {
    "onnx": ("onnxruntime", "onnxruntime"),
    "gguf": ("llama_cpp", "llama-cpp-python"),
    _OPENVINO: ("openvino", "openvino"),
}
"""Module and distribution of each backend's runtime."""


@dataclass(frozen=True, slots=True)
class Run:
    """A weights file and a backend that may load it."""

    entry: BundleFile
    backend: str

    @property
    def precision(self) -> str:
        """What it computes in."""
        return "bf16" if self.backend == _OPENVINO else self.entry.precision or "-"


@dataclass(frozen=True, slots=True)
class FileReport:
    """One weights file on its backend: measured, or failed, or not checked and why."""

    path: str
    backend: str
    precision: str
    agreement: Agreement | None = None
    error: str | None = None
    not_checked: str | None = None
    certified_cosine: float | None = None
    """The smallest one by the certificate; None if nobody measured it when the bundle was made."""
    refused: bool = False
    """Whether the certificate itself is below the tolerance, so that it is never served."""

    @property
    def failed(self) -> bool:
        """Whether it was run, and falls short here or by its certificate."""
        if self.agreement is None:
            return self.error is not None
        return self.refused or not self.agreement.passed


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What was found. The hashes of all files hold, or there is no report."""

    space: str
    reference: str
    texts: int
    other_ids: tuple[str, ...]
    """Golden texts to which the tokenizer gives other ids now."""
    files: tuple[FileReport, ...]

    @property
    def passed(self) -> bool:
        """Whether at least one file was measured, and nothing failed."""
        measured = [report for report in self.files if report.agreement is not None]
        failed = [report for report in self.files if report.failed]
        return bool(measured) and not failed and not self.other_ids


def verify(bundle: ModelBundle) -> VerifyReport:
    """Check all hashes, then run every weights file on all golden texts.

    Raises:
        IntegrityError: a file was altered, or the bundle has no golden texts or no tokenizer.
    """
    bundle.verify_hashes()
    entry = bundle.manifest.file(FileRole.GOLDEN)
    if entry is None:
        raise IntegrityError(f"{bundle.directory} has no golden texts, so it can't be verified.")
    golden = GoldenSet.load(bundle.path(entry))
    golden.check_ids(bundle.manifest.vocabulary_size)
    return VerifyReport(
        space=bundle.manifest.fingerprint,
        reference=golden.reference,
        texts=len(golden.texts),
        other_ids=_other_ids(bundle, golden),
        files=tuple(_check(bundle, run, golden) for run in runs_of(bundle)),
    )


def runs_of(bundle: ModelBundle) -> Sequence[Run]:
    """The files of a bundle, each with the backends that can load it.

    OpenVINO is an extra: it is among them where it is installed, or was when the bundle was made.
    """
    certificate = bundle.manifest.certificate
    certified = certificate is not None and any(
        row.backend == _OPENVINO for row in certificate.files
    )
    runs = []
    for entry in bundle.manifest.files:
        if entry.role in _WEIGHTS:
            runs.append(Run(entry, _WEIGHTS[entry.role]))
        wanted = entry.role is FileRole.ONNX and entry.precision == "fp32"
        if wanted and (certified or missing_runtime(_OPENVINO) is None):
            runs.append(Run(entry, _OPENVINO))
    return runs


def missing_runtime(backend: str) -> str | None:
    """Why this machine can't run this backend, or None if it can."""
    module, distribution = _PACKAGE[backend]
    if importlib.util.find_spec(module) is None:
        return f"{distribution} is not installed"
    return None


def open_run(bundle: ModelBundle, run: Run) -> Backend:
    """Load a weights file on the CPU.

    Raises:
        ConfigurationError: its runtime can't be used here.
        BundleError: the file can't be loaded.
    """
    manifest, entry = bundle.manifest, run.entry
    if run.backend == _OPENVINO:
        return open_openvino(bundle, entry)
    if entry.role is FileRole.GGUF:
        from engine.backends.gguf import GgufBackend

        return GgufBackend(
            bundle.path(entry),
            pooling=manifest.pooling,
            precision=entry.precision or "f32",
            max_input_tokens=manifest.max_input_tokens,
            max_batch_tokens=manifest.max_input_tokens,
        )
    return open_onnx(bundle, entry)


def measure(
    backend: Backend, golden: GoldenSet, *, path: str, pooling: Pooling, normalize: bool
) -> Agreement:
    """Run all golden texts in batches and compare their vectors with the reference's.

    Raises:
        BackendError: the runtime failed, or gave vectors that are not finite.
    """
    encodings = [Encoding(text.input_ids, truncated=False) for text in golden.texts]
    size = min(_BATCH, backend.max_batch_sequences)
    outputs = [
        pool(backend.run(Batch(tuple(encodings[start : start + size]))), pooling)
        for start in range(0, len(encodings), size)
    ]
    vectors = finish(np.concatenate(outputs), normalize=normalize)
    expected = golden.vectors
    if expected.shape != vectors.shape:
        raise IntegrityError(
            f"{path} computes vectors of {vectors.shape[1]} dimensions, "
            f"the golden ones have {expected.shape[1]}."
        )
    found = closeness(expected, vectors)
    tolerance = minimum_cosine(backend.precision)
    return Agreement(
        path=path,
        backend=backend.name,
        tolerance=tolerance,
        passed=found.min_cosine >= tolerance,
        **asdict(found),
    )


def _check(bundle: ModelBundle, run: Run, golden: GoldenSet) -> FileReport:
    entry = run.entry
    row = _certified(bundle, run)
    reason = missing_runtime(run.backend)
    if reason is not None:
        return replace(row, not_checked=reason)
    manifest = bundle.manifest
    try:
        backend = open_run(bundle, run)
    except ConfigurationError as exc:
        return replace(row, not_checked=exc.message)
    except BundleError as exc:
        return replace(row, error=exc.message)
    try:
        agreement = measure(
            backend,
            golden,
            path=entry.path,
            pooling=manifest.pooling,
            normalize=manifest.normalize,
        )
    except EmbellamaError as exc:
        return replace(row, error=exc.message)
    finally:
        backend.close()
    return replace(row, agreement=agreement)


def _certified(bundle: ModelBundle, run: Run) -> FileReport:
    """What the certificate says, before anything runs."""
    found = agreement_of(bundle.manifest, run.entry, run.backend)
    report = FileReport(run.entry.path, run.backend, run.precision)
    if found is None:
        return report
    refused = not holds(found, computed_precision(run.entry, run.backend))
    return replace(report, certified_cosine=found.min_cosine, refused=refused)


def _other_ids(bundle: ModelBundle, golden: GoldenSet) -> tuple[str, ...]:
    manifest = bundle.manifest
    entry = manifest.file(FileRole.TOKENIZER)
    if entry is None:
        raise IntegrityError(f"{bundle.directory} lists no tokenizer in its manifest.")
    tokenizer = Tokenizer.from_file(
        bundle.path(entry),
        vocabulary_size=manifest.vocabulary_size,
        max_input_tokens=manifest.max_input_tokens,
        max_client_batch_size=1,
        max_request_tokens=manifest.max_input_tokens,
        prompts=manifest.prompts,
        default_prompt_name=manifest.default_prompt_name,
    )
    encodings = [tokenizer.encode(text.text, truncate=Truncate.END)[0] for text in golden.texts]
    return tuple(
        text.name
        for text, encoding in zip(golden.texts, encodings, strict=True)
        if not np.array_equal(text.input_ids, encoding.input_ids)
    )
