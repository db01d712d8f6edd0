"""Every block of shell or Python in the documents works, and writes what is shown below it."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.docs.answers import difference
from tests.docs.blocks import ROOT, RUN, Block, blocks_of, documents, flaw_of
from tests.docs.clone import Clone
from tests.docs.commands import BlockError, Reader, printed_by

_LINK = re.compile(r"\]\((?P<target>[^)\s]+)\)")
_HEADING = re.compile(r"^#+ (?P<title>.*)$", re.MULTILINE)


def _blocks(document: str) -> list[Block]:
    return blocks_of((ROOT / document).read_text("utf-8"))


def _is_run(block: Block) -> bool:
    return block.language in RUN and block.why_not is None


@pytest.mark.parametrize("document", documents())
def test_every_block_can_be_checked_or_says_why_not(document: str) -> None:
    flaws = [f"{document}:{block.line}: {flaw_of(block)}" for block in _blocks(document)]
    assert [] == [flaw for flaw in flaws if not flaw.endswith("None")]


@pytest.mark.timeout(3600)  # A long document: servers, an export, a model or two.
@pytest.mark.parametrize(
    "document", [name for name in documents() if any(map(_is_run, _blocks(name)))]
)
def test_every_block_does_what_the_document_says(
    document: str, clone: Clone, tmp_path: Path
) -> None:
    """In their order, in a clean clone; only what installs is left out."""
    for program in ("bash", "curl", "make"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed: {document} was not checked")
    with Reader(clone, tmp_path) as reader:
        written: dict[int, str] = {}
        for block in _blocks(document):
            place = f"{document}:{block.line}"
            try:
                _check(block, reader, written)
            except BlockError as exc:
                raise AssertionError(f"{place}: {exc}") from None


def _check(block: Block, reader: Reader, written: dict[int, str]) -> None:
    if _is_run(block):
        written[block.line] = reader.read(block)
        shown, language = printed_by(block.text) if block.language == "python" else None, ""
    elif block.answers_to is not None and block.answers_to.line in written:
        shown, language = reader.with_ports(block.text), block.language
    else:
        return
    if shown is None:
        return
    asked = block.answers_to or block
    differs = difference(shown, written[asked.line], language)
    if differs is not None:
        raise BlockError(f"{differs}\nIt wrote:\n{written[asked.line]}")


@pytest.mark.parametrize("document", documents())
def test_every_link_leads_somewhere(document: str) -> None:
    """To a file, and to a heading in it where it names one. Links to other places are not asked."""
    text = (ROOT / document).read_text("utf-8")
    for match in _LINK.finditer(text):
        path, _, anchor = match["target"].partition("#")
        if "://" in path or path.startswith("mailto:"):
            continue
        target = (ROOT / document).parent / path if path else ROOT / document
        assert target.exists(), f"{document}: {path}"
        if anchor:
            assert anchor in _anchors(target.read_text("utf-8")), f"{document}: #{anchor}"


def _anchors(text: str) -> set[str]:
    """What a heading is called in a link."""
    titles = (re.sub(r"[^\w\s-]", "", match["title"].lower()) for match in _HEADING.finditer(text))
    return {title.replace(" ", "-") for title in titles}
