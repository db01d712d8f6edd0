"""`embellama info [BUNDLE]`: what a bundle is, without loading it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from engine.certified import agreement_of, computed_precision, holds
from engine.golden import AGAINST_QUANTISED, is_of_quantised
from engine.model import Agreement, FileRole, Manifest
from functions.commands.bundle_argument import add_bundle_argument, open_bundle

_BACKEND = {FileRole.ONNX: "onnx", FileRole.GGUF: "gguf"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the bundle."""
    add_bundle_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Print the summary."""
    bundle = open_bundle(args)
    sys.stdout.write(summary(bundle.directory, bundle.manifest))
    return 0


def summary(directory: Path, manifest: Manifest) -> str:
    """The manifest in lines for people."""
    rows = {
        "name": manifest.name,
        "directory": directory,
        "space": manifest.fingerprint,
        "architecture": manifest.architecture,
        "pooling": manifest.pooling.value,
        "normalize": "yes" if manifest.normalize else "no",
        "dimensions": manifest.output_dimensions,
        "matryoshka": ", ".join(map(str, manifest.listed_dimensions)) or "none",
        "max input tokens": manifest.max_input_tokens,
        "vocabulary": manifest.vocabulary_size,
        "prompts": ", ".join(sorted(manifest.prompts)) or "none",
    }
    lines = [f"{label:<17} {value}" for label, value in rows.items()]
    return "\n".join([*lines, *_files(manifest), *_certificate(manifest)]) + "\n"


def _files(manifest: Manifest) -> list[str]:
    return ["files"] + [
        f"  {entry.path:<24} {entry.role.value:<10} {entry.precision or '-':<6} "
        f"{entry.bytes / 1e6:9.1f} MB"
        for entry in manifest.files
    ]


def _certificate(manifest: Manifest) -> list[str]:
    certificate = manifest.certificate
    if certificate is None:
        return ["certificate       none"]
    against = f" {AGAINST_QUANTISED}" if is_of_quantised(certificate.reference) else ""
    return [
        f"certificate       {certificate.texts} texts, {certificate.created}",
        f"  reference: {certificate.reference}",
        *(
            f"  {entry.path:<24} {entry.backend:<10} min cosine {entry.min_cosine:.6f} "
            f"(tolerance {entry.tolerance}) {'passed' if _holds(manifest, entry) else 'FAILED'}"
            f"{against}"
            for entry in certificate.files
        ),
        *(
            f"  {entry.path:<24} {backend:<10} not measured"
            for entry in manifest.files
            if (backend := _BACKEND.get(entry.role)) is not None
            and agreement_of(manifest, entry, backend) is None
        ),
    ]


def _holds(manifest: Manifest, row: Agreement) -> bool:
    """As loading judges it; a row of no file counts for what it says."""
    files = [entry for entry in manifest.files if entry.path == row.path]
    return all(holds(row, computed_precision(entry, row.backend)) for entry in files) and row.passed
