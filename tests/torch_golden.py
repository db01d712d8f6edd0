"""Reads the reference vectors in tests/golden, which torch computed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from engine.golden import GoldenSet, GoldenText

GOLDEN = Path(__file__).resolve().parent / "golden"


def read_torch_golden(path: Path) -> GoldenSet:
    """The texts of a file, without those that have a prompt."""
    document: dict[str, Any] = json.loads(path.read_bytes())
    return GoldenSet(
        reference=document["provenance"]["reference"],
        texts=tuple(
            GoldenText.from_row(row) for row in document["texts"] if "prompt_name" not in row
        ),
    )
