from __future__ import annotations

import base64
import hashlib
import re

import pytest
from starlette.testclient import TestClient

from engine.engine import Engine
from functions.app import create_app
from functions.docs_page import docs_page
from functions.openapi import openapi_document
from functions.settings import Settings


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
