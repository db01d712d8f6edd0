"""The loads of `make load`, a few seconds each: the scripts run, and no answer is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench.environments import K6, UnavailableError
from tests.load import cases

pytestmark = pytest.mark.model


@pytest.fixture(scope="module", autouse=True)
def _k6() -> None:
    try:
        K6.ensure()
    except UnavailableError as exc:
        pytest.skip(f"not checked: the load scripts, as k6 can't be had ({exc})")


@pytest.mark.parametrize("case", cases.CASES, ids=lambda case: case.name)
def test_every_request_is_answered_right_or_refused_honestly(
    case: cases.Case, default_bundle: Path
) -> None:
    """Right is the golden vector; honest is a 429 that says when to come again."""
    outcomes = cases.run(case, default_bundle, is_small=True).sent.outcomes
    assert outcomes["right"] > 0
    assert (outcomes["wrong"], outcomes["failed"]) == (0, 0)
    assert (outcomes["refused"] > 0) == (case.name in ("spike", "rate_limit"))
