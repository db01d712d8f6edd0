"""Reads a header of a request, of which each layer looks for one."""

from __future__ import annotations

from starlette.types import Scope


def header_of(scope: Scope, name: bytes) -> str | None:
    """The first header of this name, in lower case, or None. A tenth of what `Headers` takes."""
    for found, value in scope["headers"]:
        if found == name:
            text: str = value.decode("latin-1")
            return text
    return None
