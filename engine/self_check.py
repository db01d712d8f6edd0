"""The check at start: a few golden texts must have the certified ids and vectors here too."""

from __future__ import annotations

import numpy as np

from engine.backends.base import Backend
from engine.certified import agreement_of, computed_precision, holds, required_cosine
from engine.errors import BackendError, CertificateError, ManifestError
from engine.golden import GoldenSet, GoldenText, closeness, minimum_cosine
from engine.model import Agreement, BundleFile, FileRole, Manifest, ModelBundle
from engine.scheduler import Scheduler
from engine.tokenizer import Tokenizer
from engine.types import Batch, FloatArray, Truncate

_TEXTS = 5


def check_certified(bundle: ModelBundle, file: BundleFile, backend: str) -> Agreement | None:
    """Refuse a bundle without measurements, and a file whose own on this backend falls short.

    What `passed` says of a cosine below the tolerance does not count.

    Returns:
        The file's measurement; None for a runtime that the exporting machine lacked. Such a file
        is served if the golden texts pass here.

    Raises:
        CertificateError: nothing was certified, or this file was found wanting.
    """
    certificate = bundle.manifest.certificate
    if certificate is None or not certificate.files:
        raise CertificateError(
            "The bundle has no certificate: nobody measured its vectors. Make it with embellama "
            "export."
        )
    row = agreement_of(bundle.manifest, file, backend)
    precision = computed_precision(file, backend)
    if row is None or holds(row, precision):
        return row
    required = required_cosine(row, precision)
    found = f"{file.path} on {backend} has a cosine of {row.min_cosine:.6f} to its source"
    if row.min_cosine >= required:
        raise CertificateError(f"{found} by the bundle's certificate, which says it did not pass.")
    raise CertificateError(
        f"{found} by the bundle's certificate, below the tolerance of {required}."
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


def check_vocabulary(manifest: Manifest, tokenizer: Tokenizer, backend: Backend) -> None:
    """Hold the manifest's vocabulary against the tokenizer and the model's own token table.

    Runtimes need not notice an id without a row. So the last one is computed, after golden texts
    have shown that the model works otherwise.

    Raises:
        ManifestError: a special token of every text lies outside, or the last id has no row.
    """
    size = manifest.vocabulary_size
    last = tokenizer.last_id()
    highest = int(last.input_ids.max())
    if highest >= size:
        raise ManifestError(
            f"The manifest says {size} token ids, but the tokenizer gives the id {highest} to "
            "every text. It was edited: make the bundle anew."
        )
    try:
        backend.run(Batch((last,)))
    except BackendError as exc:
        raise ManifestError(
            f"The manifest says {size} token ids, but the model has no vector for the id "
            f"{size - 1}. It was edited: make the bundle anew."
        ) from exc


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
