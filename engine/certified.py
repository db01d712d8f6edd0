"""What a bundle says of one of its files on one backend: measured, and how close, or the source."""

from __future__ import annotations

from engine.golden import minimum_cosine
from engine.model import Agreement, BundleFile, FileRole, Manifest, combined_sha256

_OPENVINO = "openvino"
_DATA = {FileRole.ONNX: FileRole.ONNX_DATA}


def computed_precision(file: BundleFile, backend: str) -> str:
    """What the backend computes in: OpenVINO in bf16, the others as the file is stored."""
    return "bf16" if backend == _OPENVINO else file.precision or "fp32"


def agreement_of(manifest: Manifest, file: BundleFile, backend: str) -> Agreement | None:
    """The certificate's row of this file on this backend; of several, the one to trust least.

    None where nobody measured it: its runtime was missing when the bundle was made.
    """
    certificate = manifest.certificate
    rows = [] if certificate is None else list(certificate.files)
    found = [row for row in rows if (row.path, row.backend) == (file.path, backend)]
    precision = computed_precision(file, backend)
    return min(found, key=lambda row: (holds(row, precision), row.min_cosine), default=None)


def not_measured(file: BundleFile, backend: str) -> str:
    """For people: that the certificate has no row of this file on this backend."""
    return f"{file.path} was not measured on {backend} when the bundle was made"


def required_cosine(row: Agreement, precision: str) -> float:
    """What the row's cosine must reach: its own tolerance, but never less than the precision's."""
    return max(row.tolerance, minimum_cosine(precision))


def holds(row: Agreement, precision: str) -> bool:
    """Whether the measured cosine reaches what it must; a `passed` alone is not believed."""
    return row.passed and row.min_cosine >= required_cosine(row, precision)


def is_source(manifest: Manifest, file: BundleFile) -> bool:
    """Whether this is the very file that the bundle was made of, by the hash of its weights."""
    hashes = [file.sha256]
    data = manifest.file(_DATA[file.role], file.precision) if file.role in _DATA else None
    if data is not None:
        hashes.append(data.sha256)
    return combined_sha256(hashes) == manifest.weights_sha256
