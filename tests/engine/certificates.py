"""Certificates, and what has one."""

from __future__ import annotations

from engine.engine import Engine
from engine.model import Agreement, BundleFile, Certificate, FileRole, Manifest


def agreement(**changes: object) -> Agreement:
    """A row of a certificate: an ONNX file that passed."""
    row = {
        "path": "model.onnx",
        "backend": "onnx",
        "min_cosine": 0.99999,
        "mean_cosine": 1.0,
        "max_abs_diff": 1e-6,
        "top10_agreement": 1.0,
        "tolerance": 0.9999,
        "passed": True,
    }
    return Agreement.model_validate(row | changes)


def certificate(*rows: Agreement) -> Certificate:
    return Certificate(
        reference="a reference",
        texts=64,
        created="2026-01-01T00:00:00Z",
        tools={"onnx": "1"},
        files=rows,
    )


def certify(engine: Engine, *rows: Agreement) -> None:
    """Give the fake engine a certificate, and the one file that it is of."""
    entry = BundleFile(
        role=FileRole.ONNX, path="model.onnx", sha256="0" * 64, bytes=1, precision="fp32"
    )
    engine.manifest = with_certificate(engine.manifest, certificate(*rows), entry)


def with_certificate(manifest: Manifest, given: Certificate, *files: BundleFile) -> Manifest:
    return manifest.model_copy(update={"certificate": given, "files": files})
