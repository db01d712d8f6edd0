"""The fenced blocks of a Markdown document: what is to be run, and the answers that it shows."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RUN = frozenset({"sh", "python"})
"""Languages of blocks that are run, unless a comment right above says why not."""
ANSWERS = frozenset({"", "json"})
"""Languages of blocks that show what the block before them writes."""
FIGURES = frozenset({"text", "toml"})
"""Languages of blocks that are only to be looked at."""

_FENCE = re.compile(r"```(?P<language>[\w-]*)\s*")
_MARK = re.compile(r"<!-- not run: (?P<reason>\S.*\S) -->")
_ELSEWHERE = {".git", ".venv", ".cache", "node_modules", ".pytest_cache", "build"}


@dataclass(frozen=True, slots=True)
class Block:
    """One block and the line of its fence."""

    line: int
    language: str
    text: str
    why_not: str | None
    """Why it is not run, as the comment above says."""
    answers_to: Block | None
    """The block of commands right above, with nothing between."""


def documents() -> list[str]:
    """Every Markdown document of the repository, by its path."""
    found = (path.relative_to(ROOT) for path in ROOT.rglob("*.md"))
    return sorted(str(path) for path in found if not _ELSEWHERE.intersection(path.parts))


def blocks_of(text: str) -> list[Block]:
    """All blocks, in their order."""
    found: list[Block] = []
    lines = text.splitlines()
    before = ""  # the last line that is not empty
    above: Block | None = None  # the last block, if nothing came after it
    index = 0
    while index < len(lines):
        fence = _FENCE.fullmatch(lines[index])
        if fence is None:
            if lines[index].strip():
                before, above = lines[index], None
            index += 1
            continue
        end = lines.index("```", index + 1)
        mark = _MARK.fullmatch(before)
        block = Block(
            line=index + 1,
            language=fence["language"],
            text="\n".join(lines[index + 1 : end]),
            why_not=mark["reason"] if mark else None,
            answers_to=above if above is not None and above.language in RUN else None,
        )
        found.append(block)
        before, above, index = "", block, end + 1
    return found


def flaw_of(block: Block) -> str | None:
    """Why nobody could say whether the block is true, or None."""
    if block.language in RUN or block.language in FIGURES:
        return None
    if block.language not in ANSWERS:
        return f"{block.language!r} is no language that a test knows"
    if block.answers_to is None:
        return "it follows no block of commands, so it is nobody's answer; is it a figure (text)?"
    return None
