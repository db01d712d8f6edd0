"""docs/errors.md and the errors of the code."""

from __future__ import annotations

import re
from collections.abc import Iterator

import orjson
from starlette.exceptions import HTTPException

from engine.errors import EmbellamaError
from functions import errors
from functions.errors import error_response, status_of
from tests.docs.blocks import ROOT

_ROW = re.compile(r"\| (?:`(?P<code>\w+)`|null) \| (?P<status>\d+) \| (?P<type>\w+) \|")
Rows = set[tuple[str | None, int, str]]


def _tree(root: type[EmbellamaError]) -> Iterator[type[EmbellamaError]]:
    for kind in root.__subclasses__():
        if kind.__module__.startswith(("engine.", "functions.")):  # a test may have some, too
            yield kind
            yield from _tree(kind)


def _rows_of_the_code() -> Rows:
    """Code, status and type of all that a client may be told."""
    found: Rows = set()
    for kind in _tree(EmbellamaError):
        status, name = status_of(kind)
        if status != 500:
            found.add((kind.code, status, name))
    for status in errors._HTTP_ERRORS:
        found.add(_answered(HTTPException(status)))
    found.add(_answered(RuntimeError("unexpected")))
    # Bases that are never raised themselves say nothing to clients.
    return found - {(None, 503, "server_error")}


def _answered(exc: Exception) -> tuple[str | None, int, str]:
    response = error_response(exc)
    error = orjson.loads(bytes(response.body))["error"]
    return error["code"], response.status_code, error["type"]


def test_every_code_is_described_with_its_status_and_type_and_no_other() -> None:
    text = (ROOT / "docs" / "errors.md").read_text("utf-8")
    described = {(row["code"], int(row["status"]), row["type"]) for row in _ROW.finditer(text)}
    assert described == _rows_of_the_code()


def test_every_code_has_a_cause_and_a_cure() -> None:
    text = (ROOT / "docs" / "errors.md").read_text("utf-8")
    lines = [line for line in text.splitlines() if _ROW.match(line)]
    assert all(len(line.strip("| ").split(" | ")) == 5 for line in lines)
