"""The extras that messages and documents advise are those that there are."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
FILES = [
    path
    for pattern in ("engine/**/*.py", "functions/**/*.py", "docs/**/*.md", "*.md")
    for path in sorted(ROOT.glob(pattern))
]
_ADVISED = re.compile(r"extra [`'](?P<one>[\w-]+)|\.\[(?P<several>[a-z][a-z,-]*)\]")


def advised() -> dict[str, str]:
    """Where each extra is named."""
    return {
        name: str(path.relative_to(ROOT))
        for path in FILES
        for match in _ADVISED.finditer(path.read_text("utf-8"))
        for name in (match["one"] or match["several"]).split(",")
    }


@pytest.mark.parametrize(("extra", "file"), sorted(advised().items()))
def test_an_extra_that_is_advised_exists(extra: str, file: str) -> None:
    assert extra in PROJECT["optional-dependencies"], file


def test_the_ways_of_advising_are_found() -> None:
    """One extra in a message, in a document, and several in a command."""
    assert advised().keys() >= {"export", "gguf", "openvino", "hub", "optimum", "cpu"}
