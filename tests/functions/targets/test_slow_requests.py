"""A request that comes slowly, or stops, does not hold its connection."""

from __future__ import annotations

from collections.abc import Iterator

import httpx2
import pytest

from tests.functions.targets.connections import (
    BODY,
    HEAD,
    POST,
    REQUEST,
    Connection,
    is_refused,
)
from tests.functions.targets.serving import ServerProcess

HEAD_SECONDS = 0.3
REQUEST_SECONDS = 0.3


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    with ServerProcess.fake("free", head_timeout_seconds=HEAD_SECONDS) as started:
        started.event("model ready")
        yield started


@pytest.fixture(scope="module")
def hasty() -> Iterator[ServerProcess]:
    """Gives up on requests, not on heads."""
    with ServerProcess.fake("free", request_timeout_seconds=REQUEST_SECONDS) as started:
        started.event("model ready")
        yield started


@pytest.fixture
def held() -> Iterator[ServerProcess]:
    """Computes nothing until it is told to."""
    with ServerProcess.fake("held", head_timeout_seconds=1) as started:
        started.event("model ready")
        yield started


def _wait_for_a_time_out(server: ServerProcess) -> None:
    """A head that begins now is given up: so the time of all that began before is over, too."""
    with Connection(server) as connection:
        connection.send(b"GET")
        assert connection.answer().status == 408


@pytest.mark.parametrize(
    "part",
    [b"P", b"POST /v1/emb", POST, POST + b"x-more: a", HEAD[:-1]],
    ids=["letter", "path", "headers", "header", "line-feed"],
)
def test_a_head_that_stops_is_refused_and_its_connection_closed(
    part: bytes, server: ServerProcess
) -> None:
    with Connection(server) as connection:
        connection.send(part)
        answer = connection.answer()
        is_refused(answer, 408, "request_timeout")
        assert answer.error["message"] == (
            "The request line and the headers did not come within 0.3 seconds."
        )
        assert connection.is_closed()


def test_a_head_that_comes_byte_by_byte_has_no_more_time(server: ServerProcess) -> None:
    with Connection(server) as connection:
        connection.send(b"GET /")
        while not connection.is_answered(within_seconds=HEAD_SECONDS / 10):
            connection.send(b"a")
        is_refused(connection.answer(), 408, "request_timeout")
        assert connection.is_closed()


def test_a_head_after_others_has_a_time_of_its_own(server: ServerProcess) -> None:
    """It is refused as the first would be, and not by the id of the one before."""
    with Connection(server) as connection:
        connection.send(POST + b"x-request-id: mine\r\n" + HEAD[len(POST) :] + BODY)
        assert connection.answer().headers["x-request-id"] == "mine"
        connection.send(b"POST /v1")
        answer = connection.answer()
        is_refused(answer, 408, "request_timeout")
        assert answer.headers["x-request-id"] != "mine"
        assert connection.is_closed()


def test_a_head_in_the_read_of_the_request_before_has_it_too(server: ServerProcess) -> None:
    with Connection(server) as connection:
        connection.send(REQUEST + b"POST /v1")
        assert connection.answer().status == 200
        is_refused(connection.answer(), 408, "request_timeout")


def test_what_follows_a_refused_head_is_not_read(server: ServerProcess) -> None:
    with Connection(server) as connection:
        connection.send(HEAD[:-2])
        is_refused(connection.answer(), 408, "request_timeout")
        connection.send(b"\r\n" + BODY + REQUEST)
        assert connection.is_closed()
    assert httpx2.get(f"{server.url}/health/ready").status_code == 200


def test_a_head_in_pieces_is_read(server: ServerProcess) -> None:
    with Connection(server) as connection:
        for part in (HEAD[:10], HEAD[10:], BODY[:5], BODY[5:] + HEAD[:-2], HEAD[-2:] + BODY):
            connection.send(part)
        assert [connection.answer().status for _ in range(2)] == [200, 200]


def test_idle_connections_are_kept(server: ServerProcess) -> None:
    """Before a first request, and between two."""
    with Connection(server) as fresh, Connection(server) as used:
        used.send(REQUEST)
        assert used.answer().status == 200
        _wait_for_a_time_out(server)
        for connection in (fresh, used):
            connection.send(REQUEST)
            assert connection.answer().status == 200


def test_a_body_may_take_longer_than_a_head(server: ServerProcess) -> None:
    with Connection(server) as connection:
        connection.send(HEAD[:10])
        connection.send(HEAD[10:])
        _wait_for_a_time_out(server)
        connection.send(BODY)
        assert connection.answer().status == 200


@pytest.mark.parametrize("more", [b"", b" "], ids=["stops", "trickles"])
def test_a_body_has_the_time_of_its_request(more: bytes, hasty: ServerProcess) -> None:
    """By the option, whatever comes in between; then its connection is closed."""
    with Connection(hasty) as connection:
        connection.send(POST + b"content-length: 1000000\r\n\r\n")
        while not connection.is_answered(within_seconds=REQUEST_SECONDS / 10):
            connection.send(more)
        answer = connection.answer()
        assert (answer.status, answer.error["code"]) == (504, "deadline_exceeded")
        assert answer.headers["connection"] == "close"
        assert connection.is_closed()


def test_a_head_behind_a_request_that_is_computed_waits_with_it(held: ServerProcess) -> None:
    """Its time begins with the answer before, as the server may not have read it until then."""
    with Connection(held) as connection:
        connection.send(REQUEST + REQUEST + HEAD[:-2])
        held.wait_for_run()
        _wait_for_a_time_out(held)
        held.go_on()
        assert connection.answer().status == 200
        held.wait_for_run()
        held.go_on()
        assert connection.answer().status == 200
        assert not connection.is_answered(within_seconds=0.1)
        connection.send(HEAD[-2:] + BODY)
        held.wait_for_run()
        held.go_on()
        assert connection.answer().status == 200


def test_a_head_that_is_refused_in_time_is_counted(server: ServerProcess) -> None:
    """As a request of no route, by its status and its code."""
    _wait_for_a_time_out(server)
    lines = httpx2.get(f"{server.url}/metrics").text.splitlines()
    name = 'embellama_requests_total{method="other",route="unmatched",status="408"}'
    assert any(line.startswith(name) for line in lines)
    assert any(line.startswith('embellama_errors_total{code="request_timeout"}') for line in lines)
