"""What became of each request, counted; every answer with vectors is compared with golden ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx2
import numpy as np

from engine.golden import GoldenText, decode_vector

SMALLEST_COSINE = 0.9999
_NOTES_AT_MOST = 20
_ERROR_KEYS = {"message", "type", "param", "code"}
OUTCOMES = {
    "right": "answered with the golden vectors",
    "refused": "refused honestly: 429 or 503 that says when to come again, or 504 at its deadline",
    "rejected": "a bad request that got the error it has to get",
    "left": "a client that went before its answer",
    "wrong": "answered with other vectors",
    "failed": "anything else",
}


@dataclass(slots=True)
class Tally:
    """Requests by outcome, how far vectors were from golden ones, and the first failures."""

    outcomes: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    vectors: int = 0
    min_cosine: float = 1.0
    max_abs_diff: float = 0.0
    notes: list[str] = field(default_factory=list)

    def add(self, outcome: str, note: str = "") -> None:
        """Count one request."""
        self.outcomes[outcome] += 1
        if outcome in ("wrong", "failed") and len(self.notes) < _NOTES_AT_MOST:
            self.notes.append(f"{outcome}: {note}")

    def judge(self, answer: httpx2.Response, rows: Sequence[GoldenText]) -> None:
        """Count the answer to a good request for these texts."""
        self.statuses[str(answer.status_code)] += 1
        if answer.status_code == 200:
            fault = self._fault(answer.json(), rows)
            self.add("wrong" if fault else "right", fault)
        elif is_honest(answer):
            self.add("refused")
        else:
            self.add("failed", f"{answer.status_code}: {answer.text[:300]}")

    def judge_error(self, answer: httpx2.Response, status: int) -> None:
        """Count the answer to a bad request that must have this status."""
        self.statuses[str(answer.status_code)] += 1
        if answer.status_code == status and set(answer.json()["error"]) == _ERROR_KEYS:
            self.add("rejected")
        else:
            self.add("failed", f"{answer.status_code}, not {status}: {answer.text[:300]}")

    def _fault(self, answer: dict[str, Any], rows: Sequence[GoldenText]) -> str:
        """What is wrong with it; empty if nothing is."""
        if [item["index"] for item in answer["data"]] != list(range(len(rows))):
            return "vectors are missing, or out of order"
        tokens = sum(row.input_ids.size for row in rows)
        if answer["usage"]["prompt_tokens"] != tokens:
            return f"usage says {answer['usage']['prompt_tokens']} tokens, not {tokens}"
        found = np.stack([vector_of(item["embedding"]) for item in answer["data"]])
        wanted = np.stack([row.embedding for row in rows]).astype(np.float64)
        lengths = np.linalg.norm(found, axis=1) * np.linalg.norm(wanted, axis=1)
        cosine = float((np.einsum("nd,nd->n", found, wanted) / lengths).min())
        self.vectors += len(rows)
        self.min_cosine = min(self.min_cosine, cosine)
        self.max_abs_diff = max(self.max_abs_diff, float(np.abs(found - wanted).max()))
        return "" if cosine >= SMALLEST_COSINE else f"a cosine of {cosine}"


def vector_of(embedding: str | list[float]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """A vector as it was sent, in either format."""
    if isinstance(embedding, str):
        return decode_vector(embedding).astype(np.float64)
    return np.array(embedding, dtype=np.float64)


def is_honest(answer: httpx2.Response) -> bool:
    """Whether a refusal is one that the contract allows, and says what a client needs."""
    if answer.status_code not in (429, 503, 504):
        return False
    if set(answer.json()["error"]) != _ERROR_KEYS:
        return False
    return answer.status_code == 504 or int(answer.headers.get("retry-after", 0)) >= 1
