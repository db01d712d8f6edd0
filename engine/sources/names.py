"""The name under which the hub has a model, for clients that know it by that name."""

from __future__ import annotations

from collections.abc import Mapping

from engine.errors import SourceError
from engine.sources.table import parse

HUB_NAMES: Mapping[str, str] = {
    "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db": (
        "sentence-transformers/all-MiniLM-L6-v2"
    ),
}
"""By the SHA-256 of the published weights; a bundle of them is known wherever it came from."""


def hub_name_of(source: str | None) -> str | None:
    """`ORG/NAME` where a source is one of the hub, without its revision; else None."""
    if source is None:
        return None
    try:
        scheme, location = parse(source)
    except SourceError:  # Whoever opens it says so.
        return None
    return location.partition("@")[0] if scheme.name == "hub" else None
