"""The version of this project."""

from __future__ import annotations

import importlib.metadata
from functools import cache


@cache
def version() -> str:
    """The installed version, or `0+unknown` in a source tree that is not installed."""
    try:
        return importlib.metadata.version("embellama")
    except importlib.metadata.PackageNotFoundError:
        return "0+unknown"
