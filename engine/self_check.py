"""The check at start: a few golden texts must have the certified ids and vectors here too."""

from __future__ import annotations

import numpy as np

from engine.errors import CertificateError
from engine.golden import GoldenSet, GoldenText, closeness, minimum_cosine
from engine.model import BundleFile, FileRole, ModelBundle
from engine.scheduler import Scheduler
from engine.tokenizer import Tokenizer
from engine.types import FloatArray, Truncate

_TEXTS = 5


def check_certified(bundle: ModelBundle, file: BundleFile, backend: str) -> None:
    """Refuse a bundle without measurements, and a file whose own on this backend did not pass.

    A file for a runtime that the exporting machine lacked has no measurement; it is served if the
    golden texts pass here.

    Raises:
        CertificateError: nothing was certified, or this file was found wanting.
    """
    certificate = bundle.manifest.certificate
    if certificate is None or not certificate.files:
        raise CertificateError(
            "The bundle has no certificate: nobody measured its vectors. Make it with embellama "
            "export."
        )
    for row in certificate.files:
        if (row.path, row.backend) == (file.path, backend) and not row.passed:
            raise CertificateError(
                f"{file.path} on {backend} has a cosine of {row.min_cosine:.6f} to its source "
                f"by the bundle's certificate, below the tolerance of {row.tolerance}."
            )


def check_golden(
    bundle: ModelBundle, tokenizer: Tokenizer, scheduler: Scheduler, precision: str
) -> None:
    """Embed the shortest golden texts and compare ids and vectors with the bundle's.

    Raises:
        CertificateError: there is nothing to compare with, or ids differ, or a cosine is below
            the tolerance of the precision.
    """
    entry = bundle.manifest.file(FileRole.GOLDEN)
    if entry is None:
        raise CertificateError("The bundle has no golden texts, so it can't be checked.")
    bundle.verify_hashes([entry])
    texts = [
        text
        for text in GoldenSet.load(bundle.path(entry)).shortest(_TEXTS)
        if text.input_ids.size <= tokenizer.longest_request_tokens
    ]
    if not texts:
        raise CertificateError(
            "Every golden text is longer than an input may be here, so nothing can be checked. "
            "Raise context_size or max_request_tokens."
        )
    encodings = [tokenizer.encode(text.text, truncate=Truncate.END)[0] for text in texts]
    for text, encoding in zip(texts, encodings, strict=True):
        if not np.array_equal(encoding.input_ids, text.input_ids):
            raise CertificateError(f"The tokenizer gives other ids for {text.name!r}.")
    _compare(texts, scheduler.submit(encodings).result().vectors, precision)


def _compare(texts: list[GoldenText], vectors: FloatArray, precision: str) -> None:
    expected = np.stack([text.embedding for text in texts])
    if expected.shape != vectors.shape:
        raise CertificateError(
            f"The vectors computed here have {vectors.shape[1]} dimensions, "
            f"the certified ones {expected.shape[1]}."
        )
    found = closeness(expected, vectors).min_cosine
    wanted = minimum_cosine(precision)
    if not found >= wanted:
        raise CertificateError(
            f"The vectors computed here have a cosine of {found:.6f} to the certified ones; "
            f"{precision} must reach {wanted}. Try another engine or precision, "
            "or make the bundle anew."
        )
