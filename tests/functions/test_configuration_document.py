from __future__ import annotations

from pathlib import Path

from functions.options import option_table

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "configuration.md"


def test_the_document_lists_the_options_that_there_are() -> None:
    """docs/configuration.md ends with the table that the settings' fields give."""
    text = DOCUMENT.read_text("utf-8")
    assert text[text.index("| Flag |") :] == option_table()
