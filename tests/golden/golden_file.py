"""The form of a file of reference vectors, shared by the scripts that write one."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

GOLDEN_TEXTS = Path(__file__).parents[2] / "engine" / "export" / "golden_texts.json"
PACKAGES = ("torch", "sentence-transformers", "transformers", "tokenizers", "safetensors", "numpy")

Vectors = npt.NDArray[np.float32]


class GoldenText(NamedTuple):
    """One named input."""

    name: str
    text: str


def load_texts() -> list[GoldenText]:
    """Read the golden texts in the order of their file."""
    rows = json.loads(GOLDEN_TEXTS.read_text(encoding="utf-8"))["texts"]
    return [GoldenText(row["name"], row["text"]) for row in rows]


def to_base64(vector: npt.NDArray[np.float32]) -> str:
    """Encode a vector of D float32 as base64 of its little-endian bytes."""
    return base64.b64encode(vector.astype("<f4").tobytes()).decode("ascii")


def sha256_of(path: Path) -> str:
    """Return the hex SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def provenance(model: str, weights: Path, command: str, **details: str) -> dict[str, Any]:
    """Say which weights, which packages and which machine made the vectors.

    `details` are further facts about the reference, such as its attention implementation.
    """
    return {
        "model": model,
        "weights_sha256": sha256_of(weights),
        **details,
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
        "python": platform.python_version(),
        "command": command,
        "machine": f"{platform.system()} {platform.machine()}",
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
    }


def text_rows(
    texts: Sequence[GoldenText], input_ids: Sequence[Sequence[int]], embeddings: Vectors
) -> list[dict[str, Any]]:
    """Pair each text with its token ids and its row of `embeddings` (B x D, float32)."""
    return [
        {"name": name, "text": text, "input_ids": list(ids), "embedding": to_base64(row)}
        for (name, text), ids, row in zip(texts, input_ids, embeddings, strict=True)
    ]


def write_golden(path: Path, head: dict[str, Any], rows: Sequence[dict[str, Any]]) -> None:
    """Write `head` and then one line for each text, so that a diff shows which texts changed."""
    opening = json.dumps(head, indent=2)[:-2]
    lines = ",\n".join("    " + json.dumps(row) for row in rows)
    path.write_text(f'{opening},\n  "texts": [\n{lines}\n  ]\n}}\n', encoding="utf-8")


def cosine_spread(embeddings: Vectors) -> tuple[float, float, float]:
    """Return min, mean and max cosine over all pairs of distinct rows (unit length, B x D)."""
    exact = embeddings.astype(np.float64)
    pairs = (exact @ exact.T)[np.triu_indices(len(exact), 1)]
    return float(pairs.min()), float(pairs.mean()), float(pairs.max())
