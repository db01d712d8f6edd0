"""Requests that no client means: each gets one answer in the shape of all errors, at once."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from engine.testing import fake_engine
from functions.app import create_app
from functions.settings import Settings

URL = "/v1/embeddings"
HEADERS = {"content-type": "application/json"}
FIELDS = ["model", "input", "encoding_format", "dimensions", "user", "truncate", "prompt_name"]
_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text()
    | st.sampled_from(["fake-model", "float", "base64", "end", "query", "the cat"])
)
JSON = st.recursive(
    _SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20
)
REQUESTS = st.dictionaries(st.sampled_from(FIELDS) | st.text(), JSON) | st.fixed_dictionaries(
    {"model": st.just("fake-model"), "input": JSON},
    optional=dict.fromkeys(FIELDS[2:], JSON),
)


@pytest.fixture(scope="module")
def hostile() -> Iterator[TestClient]:
    """One for all examples of a test."""
    with fake_engine(max_input_tokens=16, prompts={"query": "the "}) as engine:
        yield TestClient(create_app(Settings(max_body_bytes=11_000_000), engine))


def _check(client: TestClient, body: bytes) -> int:
    response = client.post(URL, content=body, headers=HEADERS)
    if response.status_code != 200:
        assert 400 <= response.status_code < 500, response.text
        assert set(response.json()["error"]) == {"message", "type", "param", "code"}
        assert len(response.content) < 2000
    return response.status_code


@settings(max_examples=300, deadline=None)
@given(REQUESTS)
def test_any_json_is_answered_or_refused(hostile: TestClient, request_body: object) -> None:
    _check(hostile, json.dumps(request_body).encode())


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_refused(hostile: TestClient, body: bytes) -> None:
    _check(hostile, body)


@settings(max_examples=100, deadline=None)
@given(st.text(st.characters(exclude_categories=()), min_size=1))
def test_any_text_is_embedded_or_refused(hostile: TestClient, text: str) -> None:
    _check(hostile, json.dumps({"model": "fake-model", "input": text}).encode())


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"model": "fake-model", "input": "\\ud800"}', 400),
        (b'{"model": "fake-model", "input": "a\\u0000b"}', 200),
        (b'{"model": "\\ud800", "input": "a"}', 400),
        (b'{"model": "a\\u0000", "input": "a"}', 404),
        (b"[" * 1_000_000, 400),
        (b'{"input":' * 1_000_000, 400),
        (b'{"model": "fake-model", "input": ' + b"[" * 500_000 + b"]" * 500_000 + b"}", 400),
        (b'{"model": "fake-model", "input": ' + b"9" * 10_000_000 + b"}", 400),
        (bytes(range(256)) * 40_000, 400),
        (b"\xef\xbb\xbf{}", 400),
        (b'{"model": "' + b"m" * 10_000_000 + b'", "input": "a"}', 404),
        (b'{"model": "fake-model", "input": "' + b"a " * 500_000 + b'"}', 400),
    ],
    ids=[
        "surrogate",
        "nul",
        "surrogate-name",
        "nul-name",
        "brackets",
        "objects",
        "nesting",
        "digits",
        "garbage",
        "bom",
        "name",
        "text",
    ],
)
def test_what_is_known_to_hurt_does_not(hostile: TestClient, body: bytes, status: int) -> None:
    assert _check(hostile, body) == status
