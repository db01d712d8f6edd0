"""The change log, to which several branches add lines at a time."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

CHANGELOG = Path(__file__).parents[2] / "CHANGELOG.md"
_BEGIN_CHARACTERS = 40


def test_no_line_comes_twice_even_where_one_was_changed() -> None:
    """A merge by union keeps the old line beside the new one."""
    _, _, unreleased = CHANGELOG.read_text("utf-8").partition("## Unreleased")
    lines = unreleased.partition("\n## ")[0].splitlines()
    begins = Counter(line[:_BEGIN_CHARACTERS] for line in lines if line.startswith("- "))
    assert begins
    assert [begin for begin, count in begins.items() if count > 1] == []
