from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench.machine import facts
from tests.soak.tally import Tally

RESULTS_VARIABLE = "FAULTS_RESULTS"
"""Path of a JSON file for what became of the requests; `make faults` sets it."""


@pytest.fixture
def fault(tmp_path: Path) -> Path:
    """What the backend of `tests.faults.served` does wrong."""
    return tmp_path / "fault"


@pytest.fixture(scope="session")
def _outcomes() -> Iterator[dict[str, dict[str, int]]]:
    found: dict[str, dict[str, int]] = {}
    yield found
    if path := os.environ.get(RESULTS_VARIABLE):
        total = sum((Counter(outcomes) for outcomes in found.values()), Counter[str]())
        document = {"facts": facts("make faults"), "total": dict(total), "tests": found}
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(json.dumps(document, indent=1) + "\n", "utf-8")


@pytest.fixture
def tally(request: pytest.FixtureRequest, _outcomes: dict[str, dict[str, int]]) -> Iterator[Tally]:
    """Counts what became of the requests of a test. None may be answered wrong."""
    tally = Tally()
    yield tally
    _outcomes[request.node.nodeid.removeprefix("tests/faults/")] = dict(tally.outcomes)
    assert tally.outcomes["wrong"] == 0, tally.notes
