"""Measures a file of a bundle, through the backend that serves it, against the golden vectors."""

from __future__ import annotations

import datetime as dt
import importlib.metadata
from collections.abc import Sequence
from dataclasses import asdict

import numpy as np

from engine.backends.base import Backend
from engine.errors import CertificateError
from engine.golden import GoldenSet, closeness, minimum_cosine
from engine.model import Agreement, Certificate
from engine.pooling import pool
from engine.postprocess import check_finite, finish
from engine.types import Batch, Encoding, Pooling

_BATCH = 8
"""Neighbours in the file differ in length, so padding is part of what is measured."""
_TOOLS = ("embellama", "gguf", "numpy", "onnx", "tokenizers")
_RUNTIME = {"onnx": "onnxruntime", "gguf": "llama-cpp-python"}


def measure(
    backend: Backend, golden: GoldenSet, *, path: str, pooling: Pooling, normalize: bool
) -> Agreement:
    """Run all golden texts in batches and compare their vectors with the reference's."""
    encodings = [Encoding(text.input_ids, truncated=False) for text in golden.texts]
    size = min(_BATCH, backend.max_batch_sequences)
    outputs = [
        pool(backend.run(Batch(tuple(encodings[start : start + size]))), pooling)
        for start in range(0, len(encodings), size)
    ]
    pooled = np.concatenate(outputs)
    check_finite(pooled)
    vectors = finish(pooled, dimensions=pooled.shape[1], normalize=normalize)
    found = closeness(golden.vectors, vectors)
    tolerance = minimum_cosine(backend.precision)
    return Agreement(
        path=path,
        backend=backend.name,
        tolerance=tolerance,
        passed=found.min_cosine >= tolerance,
        **asdict(found),
    )


def certify(golden: GoldenSet, agreements: Sequence[Agreement]) -> Certificate:
    """Put measurements and the versions of what made them together.

    Raises:
        CertificateError: a file is below its tolerance; a bundle with it must not be made.
    """
    for row in agreements:
        if not row.passed:
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
