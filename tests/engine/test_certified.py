from __future__ import annotations

import pytest

from engine.certified import holds
from tests.engine.certificates import agreement

NAN = float("nan")


@pytest.mark.parametrize(
    ("precision", "row", "expected"),
    [
        ("fp32", {"min_cosine": 0.9999}, True),
        ("fp32", {"min_cosine": 0.99989}, False),
        ("int8", {"min_cosine": 0.998, "tolerance": 0.998}, True),
        ("int8", {"min_cosine": 0.9979, "tolerance": 0.99}, False),
        ("int8", {"min_cosine": 0.9985, "tolerance": 0.999}, False),
        ("bf16", {"min_cosine": 0.9995, "tolerance": 0.999}, True),
        ("q4_k", {"min_cosine": 0.95, "tolerance": 0.95}, True),
        ("fp32", {"passed": False}, False),
        ("fp32", {"min_cosine": NAN}, False),
        ("fp32", {"tolerance": NAN}, False),
    ],
)
def test_a_row_holds_by_its_numbers(precision: str, row: dict[str, object], expected: bool) -> None:
    """Its own tolerance and that of the precision must be reached, and it must say passed."""
    assert holds(agreement(**row), precision) is expected
