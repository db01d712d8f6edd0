"""docs/api.md and the routes of the application."""

from __future__ import annotations

import re

from fastapi.routing import iter_route_contexts
from pydantic import SecretStr

from engine.engine import Engine
from engine.testing import fake_engine
from functions.api_operations import OPERATIONS
from functions.api_schemas import COMPONENTS
from functions.app import create_app
from functions.settings import Settings
from tests.docs.blocks import ROOT

_HEADING = re.compile(r"^#{2,3} (.+)$", re.MULTILINE)
_ROUTE = re.compile(r"\b(GET|POST|PUT|PATCH|DELETE) (/\S*)")
_ALIAS = re.compile(r"^Also as `(/\S*)`", re.MULTILINE)
_PARAMETER = re.compile(r"\{[^}]*\}")
_FIELD = re.compile(r"^\| `(\w+)`(?: \(extension\))? \|", re.MULTILINE)
Routes = set[tuple[str, str]]


def _route(method: str, path: str) -> tuple[str, str]:
    """A route as two sources can name it: its parameters have no names."""
    return method, _PARAMETER.sub("{}", path)


def _sections() -> list[tuple[str, str]]:
    """Each heading with the text below it."""
    parts = _HEADING.split((ROOT / "docs" / "api.md").read_text("utf-8"))
    return list(zip(parts[1::2], parts[2::2], strict=True))


def _described() -> list[tuple[str, str]]:
    found = []
    for heading, text in _sections():
        for method, path in _ROUTE.findall(heading):
            paths = [path, *_ALIAS.findall(text)]
            found += [_route(method, each) for each in paths]
    return found


def _served(engine: Engine) -> Routes:
    """What answers, /admin included. HEAD comes with GET."""
    app = create_app(Settings(admin_key=SecretStr("operator")), engine)
    return {
        _route(method, route.path_format)
        for route in iter_route_contexts(app.routes)
        if route.path_format is not None
        for method in set(route.methods or ()) - {"HEAD"}
    }


def test_every_route_is_described_once_and_no_other() -> None:
    with fake_engine() as engine:
        served = _served(engine)
    described = _described()
    assert set(described) == served
    assert len(described) == len(served)


def test_what_the_routes_are_compared_with_has_the_operations() -> None:
    """Else a list that misses routes, such as those of a router within, would prove nothing."""
    with fake_engine() as engine:
        served = _served(engine)
    assert {_route(method.upper(), path) for method, path in OPERATIONS} < served
    assert ("POST", "/admin/drain") in served


def test_every_field_of_a_request_for_embeddings_is_described_and_no_other() -> None:
    (text,) = [text for heading, text in _sections() if heading == "POST /v1/embeddings"]
    properties = COMPONENTS["EmbeddingsRequest"]["properties"]
    assert isinstance(properties, dict)
    assert set(_FIELD.findall(text)) == set(properties)
