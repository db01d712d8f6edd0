"""A few cases of every kind, the same at each run.

`EMBELLAMA_DAMAGED_SEED` and `EMBELLAMA_DAMAGED_COUNT` ask for others, and for more of them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.damaged.cases import KINDS
from tests.damaged.mutations import gguf_fields
from tests.engine.gguf_bytes import UINT32, Stated, gguf_bytes, scalar, string

ROOT = Path(__file__).parents[2]
SEED = os.environ.get("EMBELLAMA_DAMAGED_SEED", "1")
COUNT = os.environ.get("EMBELLAMA_DAMAGED_COUNT")
FEW, ENOUGH_SECONDS = 4, 40


@pytest.mark.skipif(sys.platform != "linux", reason="memory is bounded by Linux: nothing was run")
def test_a_damaged_model_is_one_line_or_none() -> None:
    """No traceback, no signal, no more than 1 GiB, whatever is damaged and whoever reads it."""
    bounds = (
        ["--count", COUNT] if COUNT else ["--count", str(FEW), "--seconds", str(ENOUGH_SECONDS)]
    )
    command = [sys.executable, "-m", "tests.damaged", "--seed", SEED, *bounds]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    *wrong, summary = done.stdout.splitlines() or ["nothing was run"]
    assert wrong == [], f"{len(wrong)} went wrong, such as {wrong[0]}"
    assert done.returncode == 0, done.stderr
    assert json.loads(summary)["cases"] >= len(KINDS)


def test_the_fields_of_a_header_are_found() -> None:
    """Else damage would meet nothing that means something."""
    data = gguf_bytes([string("name", "x"), scalar("n", UINT32, 7)], [Stated("t", (2, 3))])
    fields = gguf_fields(data)
    kinds = [field.kind for field in fields]
    assert {kind: kinds.count(kind) for kind in set(kinds)} == {
        "count": 3,
        "length": 4,
        "type": 3,
        "dimension": 2,
        "offset": 1,
        "value": 6,
    }
    assert fields[-1].at + fields[-1].bytes <= len(data)
