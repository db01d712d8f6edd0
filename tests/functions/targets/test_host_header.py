"""The Host of a request, as the wire brings it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from functions.targets.host_header import settle_host
from tests.functions.targets.connections import Connection, is_refused
from tests.functions.targets.serving import ServerProcess


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    with ServerProcess.fake("free", allowed_host="a.example,*.b.example") as started:
        started.event("model ready")
        yield started


@pytest.mark.parametrize(
    "lines",
    [
        b"",
        b"host: a.example\r\nhost: a.example\r\n",
        b"host: a.example\r\nHOST: evil.example\r\n",
        b"host: a b\r\n",
        b"host: a.example/path\r\n",
        b"host: user@a.example\r\n",
        b"host: a.example:99999\r\n",
        b"host: [::1\r\n",
        b"host: \xe4.example\r\n",
        b"host:\r\n",
    ],
    ids=["none", "two", "two-kinds", "space", "path", "user", "port", "bracket", "latin", "empty"],
)
@pytest.mark.parametrize("target", [b"/health", b"http://a.example/health"])
def test_a_request_without_one_valid_host_is_refused(
    target: bytes, lines: bytes, server: ServerProcess
) -> None:
    """Probes too: it is no HTTP/1.1 request. The client's id is kept."""
    with Connection(server) as connection:
        connection.send(b"GET %b HTTP/1.1\r\nx-request-id: mine\r\n%b\r\n" % (target, lines))
        answer = connection.answer()
        is_refused(answer)
        assert answer.headers["x-request-id"] == "mine"
        assert connection.is_closed()


@pytest.mark.parametrize(
    ("request_line", "lines", "status"),
    [
        (b"GET /v1/models HTTP/1.0", b"", 200),
        (b"GET /v1/models HTTP/1.0", b"host:\r\n", 200),
        (b"GET /v1/models HTTP/1.0", b"host: a.example\r\n", 200),
        (b"GET /v1/models HTTP/1.0", b"host: evil.example\r\n", 400),
        (b"GET /v1/models HTTP/1.0", b"host: a.example\r\nhost: a.example\r\n", 400),
        (b"GET /v1/models HTTP/1.1", b"host: a.example:8080\r\n", 200),
        (b"GET /v1/models HTTP/1.1", b"host: x.b.example\r\n", 200),
        (b"GET /v1/models HTTP/1.1", b"host: b.example\r\n", 400),
        (b"GET http://a.example/v1/models HTTP/1.1", b"host: evil.example\r\n", 200),
        (b"GET http://evil.example/v1/models HTTP/1.1", b"host: a.example\r\n", 400),
        (b"GET http://a.example/v1/models HTTP/1.0", b"", 200),
        (b"GET http://evil.example/v1/models HTTP/1.0", b"", 400),
        (b"GET /health/live HTTP/1.1", b"host: 10.1.2.3:8080\r\n", 200),
        (b"GET /v1/models?u=http://a.example/ HTTP/1.1", b"host: evil.example\r\n", 400),
    ],
)
def test_the_target_and_the_host_say_what_a_request_is_for(
    request_line: bytes, lines: bytes, status: int, server: ServerProcess
) -> None:
    with Connection(server) as connection:
        connection.send(request_line + b"\r\n" + lines + b"\r\n")
        assert connection.answer().status == status


@pytest.mark.parametrize(
    ("target", "host"),
    [
        (b"http://a.example/x", b"a.example"),
        (b"https://a.example:8443", b"a.example:8443"),
        (b"http://me@[::1]:80/", b"[::1]:80"),
        (b"/x?y=http://b.example", b"old"),
        (b"*", b"old"),
    ],
)
def test_an_absolute_target_takes_the_place_of_the_host(target: bytes, host: bytes) -> None:
    headers = [(b"accept", b"*/*"), (b"host", b"old")]
    settle_host(target, headers, "1.1")
    assert sorted(headers) == [(b"accept", b"*/*"), (b"host", host)]


def test_a_server_on_loopback_refuses_a_page_that_bound_its_name_to_it() -> None:
    request = b"GET /v1/models HTTP/1.1\r\nhost: evil.example\r\n%b\r\n"
    with ServerProcess.fake("free") as server:
        server.event("model ready")
        with Connection(server) as connection:
            connection.send(request % b"" + request % b"origin: http://evil.example\r\n")
            assert [connection.answer().status for _ in range(2)] == [200, 400]
