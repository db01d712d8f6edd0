from __future__ import annotations

import base64
import hashlib
import re

import pytest
import structlog
from pydantic import SecretStr
from starlette.testclient import TestClient

from engine.engine import Engine
from functions.app import create_app
from functions.docs_page import docs_page
from functions.openapi import openapi_document
from functions.settings import Settings
from functions.version import version


@pytest.fixture
def page(client: TestClient) -> str:
    return client.get("/docs").text


def test_every_operation_is_on_the_page(page: str, engine: Engine) -> None:
    for path, methods in openapi_document(create_app(Settings(), engine))["paths"].items():
        for method in methods:
            assert f"<code>{method.upper()} {path}</code></h2>" in page


def test_nothing_is_fetched_from_elsewhere(page: str) -> None:
    assert "<script" not in page
    assert "//" not in re.sub(r"<pre>.*?</pre>", "", page, flags=re.DOTALL)
    assert re.findall(r'(?:src|href)="([^#"]*)"', page) == ["openapi.json"]


def test_the_policy_allows_the_style_of_the_page_and_nothing_else(client: TestClient) -> None:
    answer = client.get("/docs")
    (style,) = re.findall(r"<style>(.*?)</style>", answer.text, flags=re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = answer.headers["content-security-policy"]
    assert f"style-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"


def test_what_comes_from_the_document_is_escaped(engine: Engine) -> None:
    document = openapi_document(create_app(Settings(), engine))
    document["info"] |= {"title": "<script>", "summary": "<b>&"}
    page = docs_page(document)
    assert "<script>" not in page
    assert "&lt;b&gt;&amp;" in page


def test_the_contents_lead_to_the_operations(page: str) -> None:
    anchors = re.findall(r'href="#([^"]+)"', page)
    assert anchors
    assert anchors == re.findall(r'<h2 id="([^"]+)"', page)


def test_the_root_says_what_this_is_and_where_to_go_on(client: TestClient) -> None:
    answer = client.get("/")
    assert (answer.status_code, answer.headers["vary"]) == (200, "accept")
    assert answer.json() == {
        "name": "embellama",
        "version": version(),
        "base_url": "http://testserver/v1",
        "docs": "/docs",
        "openapi": "/openapi.json",
        "health": "/health",
    }
    assert client.get(answer.json()["base_url"] + "/models").status_code == 200
    for name in ("docs", "openapi", "health"):
        assert client.get(answer.json()[name]).status_code == 200


def test_a_browser_gets_the_page_at_the_root(client: TestClient, page: str) -> None:
    answer = client.get("/", headers={"accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
    assert (answer.status_code, answer.text) == (200, page)
    assert "content-security-policy" in answer.headers


def test_the_root_is_open_and_no_request_of_a_client(
    engine: Engine, logs: list[structlog.typing.EventDict]
) -> None:
    """Load balancers ask it every few seconds, and can't send a key."""
    settings = Settings(api_key=(SecretStr("secret"),), requests_per_minute=1)
    client = TestClient(create_app(settings, engine))
    assert [client.get("/").status_code for _ in range(3)] == [200, 200, 200]
    assert {line["log_level"] for line in logs if line["event"] == "request"} == {"debug"}
