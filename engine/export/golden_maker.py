"""Golden texts -> golden.json: their ids and the reference's vectors."""

from __future__ import annotations

import json
from pathlib import Path

from engine.export.reference import Reference
from engine.golden import GoldenSet, GoldenText, encode_vector
from engine.tokenizer import Tokenizer
from engine.types import Pooling, Truncate

_TEXTS = Path(__file__).with_name("golden_texts.json")
_NO_LIMIT = 1 << 31


def make_golden_set(
    tokenizer_path: Path,
    reference: Reference,
    *,
    vocabulary_size: int,
    max_input_tokens: int,
    pooling: Pooling,
    normalize: bool,
) -> GoldenSet:
    """Encode all golden texts, cut at the end to fit the model, and compute their vectors."""
    rows = json.loads(_TEXTS.read_bytes())["texts"]
    tokenizer = Tokenizer.from_file(
        tokenizer_path,
        vocabulary_size=vocabulary_size,
        max_input_tokens=max_input_tokens,
        max_client_batch_size=len(rows),
        max_request_tokens=_NO_LIMIT,
        prompts={},
    )
    encodings = tokenizer.encode([row["text"] for row in rows], truncate=Truncate.END)
    vectors = reference.embed(
        [encoding.input_ids for encoding in encodings], pooling=pooling, normalize=normalize
    )
    texts = tuple(
        GoldenText(row["name"], row["text"], encoding.input_ids, vector)
        for row, encoding, vector in zip(rows, encodings, vectors, strict=True)
    )
    return GoldenSet(reference="numpy, float32, from model.gguf", texts=texts)


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
