from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from engine.testing import fake_engine
from functions.app import create_app
from functions.settings import Settings

BODY = {"model": "fake-model", "input": "the cat"}
PUBLIC = ("embeddings.example.org",)


def _statuses(
    hosts: list[str],
    headers: dict[str, str],
    *,
    allowed: tuple[str, ...] = (),
    is_local: bool = True,
) -> list[int]:
    with fake_engine() as engine:
        app = create_app(Settings(allowed_host=allowed), engine, is_local=is_local)
        client = TestClient(app)
        return [
            client.post("/v1/embeddings", json=BODY, headers=headers | {"host": host}).status_code
            for host in hosts
        ]


OWN = ["localhost", "localhost:8080", "app.localhost", "127.0.0.1:8080", "[::1]:8080", "192.0.2.7"]
FOREIGN = ["evil.example", "evil.example:8080", "localhost.evil.example"]


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"referer": "http://evil.example/"},
        {"sec-fetch-site": "same-origin"},
        {"sec-fetch-mode": "cors"},
    ],
)
def test_a_page_may_not_ask_a_local_server_by_a_foreign_name(headers: dict[str, str]) -> None:
    assert _statuses(OWN + FOREIGN, headers) == [200] * len(OWN) + [400] * len(FOREIGN)


def test_whoever_is_no_browser_may_ask_by_any_name() -> None:
    """Such as a proxy that passes the public name."""
    assert _statuses(FOREIGN, {}) == [200] * len(FOREIGN)


def test_a_server_on_a_network_may_be_asked_by_any_name() -> None:
    headers = {"origin": "http://evil.example"}
    assert _statuses(FOREIGN, headers, is_local=False) == [200] * len(FOREIGN)


@pytest.mark.parametrize("is_local", [True, False])
@pytest.mark.parametrize("headers", [{}, {"origin": "https://example.org"}])
def test_named_hosts_are_the_only_ones(headers: dict[str, str], is_local: bool) -> None:
    hosts = ["embeddings.example.org", "embeddings.example.org:8443", *FOREIGN, *OWN]
    found = _statuses(hosts, headers, allowed=PUBLIC, is_local=is_local)
    assert found == [200, 200] + [400] * len(FOREIGN + OWN)


_OPEN = ["/", "/health", "/health/ready", "/metrics", "/openapi.json", "/docs"]
_BROWSERS = [
    {"origin": "http://evil.example"},
    {"referer": "http://evil.example/"},
    {"sec-fetch-site": "same-origin"},
]


def _statuses_of_open_paths(
    headers: dict[str, str], allowed: tuple[str, ...], *, is_local: bool
) -> list[int]:
    with fake_engine() as engine:
        app = create_app(Settings(allowed_host=allowed), engine, is_local=is_local)
        client = TestClient(app)
        return [client.get(path, headers=headers).status_code for path in _OPEN]


_SERVERS = pytest.mark.parametrize(
    ("allowed", "is_local"), [((), True), (PUBLIC, True), (PUBLIC, False)]
)


@_SERVERS
@pytest.mark.parametrize("host", [*FOREIGN, "10.1.2.3:8080"])
def test_probes_and_documents_are_open_to_any_host(
    host: str, allowed: tuple[str, ...], is_local: bool
) -> None:
    found = _statuses_of_open_paths({"host": host}, allowed, is_local=is_local)
    assert found == [200] * len(_OPEN)


@_SERVERS
@pytest.mark.parametrize("shown", _BROWSERS)
def test_a_page_may_not_read_them_by_its_own_name(
    shown: dict[str, str], allowed: tuple[str, ...], is_local: bool
) -> None:
    """Metrics and health tell of models and of others' requests."""
    headers = shown | {"host": FOREIGN[0]}
    found = _statuses_of_open_paths(headers, allowed, is_local=is_local)
    assert found == [400] * len(_OPEN)


@_SERVERS
@pytest.mark.parametrize("host", ["localhost:8080", "10.1.2.3:8080"])
def test_a_browser_may_read_them_by_address(
    host: str, allowed: tuple[str, ...], is_local: bool
) -> None:
    """No page can be given another address behind that."""
    headers = _BROWSERS[2] | {"host": host}
    found = _statuses_of_open_paths(headers, allowed, is_local=is_local)
    assert found == [200] * len(_OPEN)


def test_whether_the_process_lives_is_told_to_anybody() -> None:
    with fake_engine() as engine:
        client = TestClient(create_app(Settings(allowed_host=PUBLIC), engine, is_local=True))
        headers = {"host": FOREIGN[0], "origin": "http://evil.example"}
        assert client.get("/health/live", headers=headers).status_code == 200


def test_the_refusal_names_the_option_and_shortens_the_host() -> None:
    with fake_engine() as engine:
        client = TestClient(create_app(Settings(allowed_host=PUBLIC), engine))
        answer = client.get("/v1/models", headers={"host": "a" * 200})
    error = answer.json()["error"]
    assert (error["code"], error["param"]) == ("host_not_allowed", None)
    assert "--allowed-host" in error["message"]
    assert "a" * 65 not in error["message"]
    assert "x-request-id" in answer.headers
