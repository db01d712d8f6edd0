"""Golden texts -> golden.json: their ids and the reference's vectors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Protocol

from engine.export.model_source import ModelSource
from engine.golden import GoldenSet, GoldenText, encode_vector
from engine.tokenizer import Tokenizer
from engine.types import FloatArray, IntArray, Pooling, Truncate

_TEXTS = Path(__file__).with_name("golden_texts.json")
_NO_LIMIT = 1 << 31


class EmbedsIds(Protocol):
    """Whatever computes reference vectors."""

    def embed(self, sequences: list[IntArray], *, pooling: Pooling, normalize: bool) -> FloatArray:
        """Vectors (N, D) of sequences of ids (T,)."""
        ...


def golden_texts() -> list[tuple[str, str]]:
    """Name and text of each, the same for all models."""
    return [(row["name"], row["text"]) for row in json.loads(_TEXTS.read_bytes())["texts"]]


def make_golden_set(
    tokenizer_path: Path, source: ModelSource, reference: EmbedsIds, *, name: str
) -> GoldenSet:
    """Encode all golden texts as a request without options would, cut at the end to fit.

    Args:
        tokenizer_path: the bundle's `tokenizer.json`.
        source: the model.
        reference: computes the vectors.
        name: of the reference, for the reader of `golden.json`.
    """
    facts = source.facts
    rows = golden_texts()
    tokenizer = Tokenizer.from_file(
        tokenizer_path,
        vocabulary_size=source.vocabulary_size,
        max_input_tokens=facts.max_input_tokens,
        max_client_batch_size=len(rows),
        max_request_tokens=_NO_LIMIT,
        prompts=dict(facts.prompts),
        default_prompt_name=facts.default_prompt_name,
    )
    encodings = tokenizer.encode([text for _, text in rows], truncate=Truncate.END)
    vectors = reference.embed(
        [encoding.input_ids for encoding in encodings],
        pooling=facts.required_pooling,
        normalize=facts.normalize,
    )
    texts = tuple(
        GoldenText(text_name, text, encoding.input_ids, vector)
        for (text_name, text), encoding, vector in zip(rows, encodings, vectors, strict=True)
    )
    return GoldenSet(reference=name, texts=texts)


def write_golden_set(golden: GoldenSet, path: Path) -> None:
    """Write the form that `GoldenSet.load` reads."""
    texts = [
        {
            "name": text.name,
            "text": text.text,
            "input_ids": text.input_ids.tolist(),
            "embedding": encode_vector(text.embedding),
        }
        for text in golden.texts
    ]
    document = {"reference": golden.reference, "texts": texts}
    path.write_text(json.dumps(document, ensure_ascii=False, indent=1) + "\n", "utf-8")
