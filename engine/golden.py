"""Golden texts of a bundle: their ids and reference vectors, and how close others come to them."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from engine.errors import IntegrityError
from engine.gguf_types import FILE_TYPES, FLOAT_PRECISIONS
from engine.model_files import MAX_GOLDEN_BYTES, read_bounded
from engine.types import FloatArray, IntArray

AGAINST_QUANTISED = "against the quantised file itself"
_WEIGHTS = re.compile(r"from the source's (\w+) weights")
_MINIMUM_COSINE = {
    "fp32": 0.9999,
    "f32": 0.9999,
    "f16": 0.9999,
    "bf16": 0.999,
    "q8_0": 0.998,
    "int8": 0.998,
}
_MINIMUM_COSINE_OF_QUANTISED = 0.995
"""Of the other types of GGUF files. llama.cpp rounds activations to 8 bits for all of them: to the
same weights in float32, the least cosine of all-MiniLM-L6-v2's golden texts is 0.9977 to 0.9988
from q2_k to q6_k and from iq3_xxs to iq4_nl (llama-cpp-python 0.3.36, AVX-512)."""
_MINIMUM_COSINE_OF_OTHERS = 0.95
_NEIGHBOURS = 10
_SHOWN = 40


def minimum_cosine(precision: str) -> float:
    """Smallest cosine to the reference that a file of this precision may have."""
    is_known = precision in FILE_TYPES.values()
    others = _MINIMUM_COSINE_OF_QUANTISED if is_known else _MINIMUM_COSINE_OF_OTHERS
    return _MINIMUM_COSINE.get(precision, others)


def reference_of_weights(precision: str) -> str:
    """What the reference vectors are called that numpy computed from a GGUF file's weights."""
    own = "" if precision in FLOAT_PRECISIONS else f", {AGAINST_QUANTISED}"
    return f"numpy, float32, from the source's {precision} weights{own}"


def is_of_quantised(reference: str) -> bool:
    """Whether the reference's weights were quantised before it saw them.

    A cosine of 1 to it says nothing of how close a file is to the model before that.
    """
    found = _WEIGHTS.search(reference)  # all that bundles made before said of it
    return AGAINST_QUANTISED in reference or (
        found is not None and found[1] not in FLOAT_PRECISIONS
    )


@dataclass(frozen=True, slots=True, eq=False)
class GoldenText:
    """One text, its token ids (T,) and the reference's normalised vector (D,)."""

    name: str
    text: str
    input_ids: IntArray
    embedding: FloatArray

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """Read one of the `texts` of a file.

        Raises:
            ValueError, TypeError, KeyError, OverflowError: it is not one.
        """
        ids, embedding = row["input_ids"], decode_vector(row["embedding"])
        if not ids or not all(isinstance(one, int) and one >= 0 for one in ids):
            raise ValueError("input_ids are not a list of ids")
        if not np.isfinite(embedding).all() or not embedding.any():
            raise ValueError("the embedding has no direction")
        if not isinstance(row["name"], str) or not isinstance(row["text"], str):
            raise TypeError("the name and the text are texts")
        return cls(row["name"], row["text"], np.array(ids, dtype=np.int32), embedding)


@dataclass(frozen=True, slots=True)
class GoldenSet:
    """The golden texts of a bundle, and what computed their vectors."""

    reference: str
    texts: tuple[GoldenText, ...]

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a `golden.json`.

        Raises:
            IntegrityError: the file is not valid.
        """
        try:
            document = json.loads(read_bounded(path, MAX_GOLDEN_BYTES))
            texts = tuple(GoldenText.from_row(row) for row in document["texts"])
            reference = str(document["reference"])
        except OSError as exc:
            raise IntegrityError(f"{path} can't be read: {exc.strerror or exc}.") from exc
        except (ValueError, OverflowError, KeyError, TypeError, RecursionError) as exc:
            raise IntegrityError(f"{path} is not a valid set of golden texts.") from exc
        if not texts:
            raise IntegrityError(f"{path} has no golden texts.")
        if len({text.embedding.size for text in texts}) > 1:
            raise IntegrityError(f"{path} has golden vectors of several sizes.")
        return cls(reference=reference, texts=texts)

    def check_ids(self, vocabulary_size: int) -> None:
        """Refuse ids that the model has no vector for.

        Raises:
            IntegrityError: names the text.
        """
        for text in self.texts:
            highest = int(text.input_ids.max())
            if highest >= vocabulary_size:
                raise IntegrityError(
                    f"The golden text {text.name[:_SHOWN]!r} has the id {highest}, but the model "
                    f"has {vocabulary_size}."
                )

    @property
    def vectors(self) -> FloatArray:
        """Reference vectors (N, D)."""
        return np.stack([text.embedding for text in self.texts])

    def shortest(self, count: int) -> tuple[GoldenText, ...]:
        """The texts with the fewest tokens: the cheapest to check."""
        return tuple(sorted(self.texts, key=lambda text: text.input_ids.size)[:count])


@dataclass(frozen=True, slots=True)
class Closeness:
    """How close vectors are to reference vectors of the same texts."""

    min_cosine: float
    mean_cosine: float
    max_abs_diff: float
    top10_agreement: float


def closeness(reference: FloatArray, vectors: FloatArray) -> Closeness:
    """Compare normalised vectors (N, D) with the reference's (N, D), row by row.

    Top-10 agreement: for each text, the share of its ten nearest other texts by the reference
    that are also among its ten nearest by `vectors`; the mean over all texts.
    """
    expected = reference.astype(np.float64)
    actual = vectors.astype(np.float64)
    lengths = np.linalg.norm(expected, axis=1) * np.linalg.norm(actual, axis=1)
    cosines = np.einsum("nd,nd->n", expected, actual) / lengths
    return Closeness(
        min_cosine=float(cosines.min()),
        mean_cosine=float(cosines.mean()),
        max_abs_diff=float(np.abs(expected - actual).max()),
        top10_agreement=_neighbour_agreement(expected, actual),
    )


def _neighbour_agreement(
    expected: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
    actual: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
) -> float:
    count = min(_NEIGHBOURS, len(expected) - 1)
    if count < 1:
        return 1.0
    shared = 0
    for wanted, got in zip(_nearest(expected, count), _nearest(actual, count), strict=True):
        shared += len(set(wanted.tolist()) & set(got.tolist()))
    return shared / (count * len(expected))


def _nearest(
    vectors: np.ndarray[tuple[int, ...], np.dtype[np.float64]], count: int
) -> np.ndarray[tuple[int, ...], np.dtype[np.intp]]:
    scores = vectors @ vectors.T
    np.fill_diagonal(scores, -np.inf)
    return np.argsort(-scores, axis=1, kind="stable")[:, :count]


def decode_vector(text: str) -> FloatArray:
    """Base64 of little-endian float32 -> (D,)."""
    return np.frombuffer(base64.b64decode(text, validate=True), dtype="<f4").astype(np.float32)


def encode_vector(vector: FloatArray) -> str:
    """(D,) -> base64 of little-endian float32."""
    return base64.b64encode(np.ascontiguousarray(vector, dtype="<f4").tobytes()).decode("ascii")
