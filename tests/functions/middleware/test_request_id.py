from __future__ import annotations

import re

import pytest
from starlette.datastructures import Headers

from functions.middleware.request_id import RequestIdMiddleware
from tests.functions.middleware.asgi import call, read_all


def _headers(sent: dict[str, str]) -> Headers:
    return Headers(raw=call(RequestIdMiddleware(read_all), headers=sent)[0]["headers"])


@pytest.mark.parametrize("given", ["a", "req_1", "6f2c-4:x/y+z=@.", "x" * 128])
def test_a_sane_id_is_echoed(given: str) -> None:
    assert _headers({"x-request-id": given})["x-request-id"] == given


@pytest.mark.parametrize("given", ["", "a b", 'a"b', "x" * 129, "a\x00b", "<script>"])
def test_any_other_id_is_replaced(given: str) -> None:
    found = _headers({"x-request-id": given})["x-request-id"]
    assert re.fullmatch(r"req_[0-9a-f]{32}", found)


def test_without_an_id_each_request_gets_its_own() -> None:
    found = {_headers({})["x-request-id"] for _ in range(3)}
    assert len(found) == 3


def test_every_answer_has_the_headers_of_openai() -> None:
    headers = _headers({})
    assert headers["openai-version"] == "2020-10-01"
    assert headers["openai-processing-ms"].isdecimal()
