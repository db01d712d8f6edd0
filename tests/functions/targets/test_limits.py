"""What is unfinished is bounded: connections, their bytes, and how slowly these come."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack

import httpx2
import pytest

from functions.targets.limited_protocol import MAX_PIPELINED
from tests.functions.targets.connections import (
    BODY,
    HEAD,
    POST,
    REQUEST,
    Answer,
    Connection,
    is_refused,
)
from tests.functions.targets.serving import ServerProcess

GRACE_SECONDS = 0.3
LARGEST = 100_000
LARGE = POST + b"content-length: %d\r\n\r\n" % LARGEST
PLACES = 3
LIVE = b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n"
MODELS = b"GET /v1/models HTTP/1.1\r\nhost: x\r\n\r\n"


@pytest.fixture(scope="module")
def hasty() -> Iterator[ServerProcess]:
    options = {"body_grace_seconds": GRACE_SECONDS, "min_body_bytes_per_second": 20}
    with ServerProcess.fake("free", **options) as started:
        started.event("model ready")
        yield started


@pytest.fixture
def small() -> Iterator[ServerProcess]:
    """Holds two large bodies, and no third."""
    options = {"max_body_bytes": LARGEST, "max_inflight_body_bytes": 2 * LARGEST}
    with ServerProcess.fake("free", **options) as started:
        started.event("model ready")
        yield started


@pytest.fixture
def narrow() -> Iterator[ServerProcess]:
    with ServerProcess.fake("free", max_connections=PLACES) as started:
        started.event("model ready")
        yield started


def _is_refused_for_now(answer: Answer, code: str) -> None:
    assert (answer.status, answer.error["type"], answer.error["code"]) == (
        503,
        "server_error",
        code,
    )
    assert answer.headers["connection"] == "close"
    assert answer.headers["retry-after"] == "1"
    assert answer.headers["retry-after-ms"] == "1000"
    assert "x-request-id" in answer.headers


def _refusals(server: ServerProcess, reason: str) -> float:
    name = f'embellama_refusals_total{{reason="{reason}"}} '
    lines = httpx2.get(f"{server.url}/metrics").text.splitlines()
    return next(float(line.removeprefix(name)) for line in lines if line.startswith(name))


@pytest.mark.parametrize("more", [b"", b" "], ids=["stops", "trickles"])
def test_a_body_that_comes_too_slowly_is_refused(more: bytes, hasty: ServerProcess) -> None:
    """Whatever came at once before."""
    before = _refusals(hasty, "request_timeout")
    with Connection(hasty) as connection:
        connection.send(LARGE + b" " * 50_000)
        while not connection.is_answered(within_seconds=GRACE_SECONDS):
            connection.send(more)
        answer = connection.answer()
        is_refused(answer, 408, "request_timeout")
        assert answer.error["message"] == (
            "Fewer than 20 bytes a second of the body came within 0.3 seconds."
        )
        assert connection.is_closed()
    assert _refusals(hasty, "request_timeout") == before + 1


def test_a_slow_body_is_read_to_its_end(hasty: ServerProcess) -> None:
    """Over several times the grace."""
    padded = b" " * 400 + BODY
    with Connection(hasty) as connection:
        connection.send(POST + b"content-length: %d\r\n\r\n" % len(padded))
        for start in range(0, 400, 20):
            connection.send(padded[start : start + 20])
            assert not connection.is_answered(within_seconds=GRACE_SECONDS / 4)
        connection.send(padded[400:])
        assert connection.answer().status == 200


def test_a_body_behind_a_request_that_is_computed_is_not_late() -> None:
    with (
        ServerProcess.fake("held", body_grace_seconds=GRACE_SECONDS) as server,
        Connection(server) as connection,
    ):
        server.event("model ready")
        connection.send(REQUEST + HEAD + BODY[:5])
        server.wait_for_run()
        assert not connection.is_answered(within_seconds=3 * GRACE_SECONDS)
        connection.send(BODY[5:])
        for _ in range(2):
            server.go_on()
            assert connection.answer().status == 200


def test_bodies_beyond_what_is_held_are_refused(small: ServerProcess) -> None:
    """At once, by their declared length; short requests never, and large ones again later."""
    with Connection(small) as third, Connection(small) as short:
        with Connection(small) as one, Connection(small) as two:
            for holding in (one, two):
                holding.send(LARGE + b" " * (LARGEST - 1))
            until_held(small)
            third.send(LARGE)
            _is_refused_for_now(third.answer(), "too_many_body_bytes")
            assert third.is_closed()
            short.send(REQUEST)
            assert short.answer().status == 200
            assert _refusals(small, "too_many_body_bytes") >= 1
        padded = b" " * (LARGEST - len(BODY)) + BODY
        for _ in range(1000):
            with Connection(small) as again:
                again.send(LARGE + padded)
                status = again.answer().status
            if status == 200:
                break
        assert status == 200


def until_held(server: ServerProcess) -> None:
    """Until the server has read what was sent to it: then a large body is refused."""
    for _ in range(1000):
        with Connection(server) as connection:
            connection.send(LARGE)
            if connection.is_answered(within_seconds=0.05):
                return
    raise AssertionError("the bodies were never held")


def test_chunks_beyond_what_is_held_are_refused(small: ServerProcess) -> None:
    """Which declare no length: when they come."""
    chunked = POST + b"transfer-encoding: chunked\r\n\r\n"
    chunk = b"%x\r\n%b\r\n" % (LARGEST - 1, b" " * (LARGEST - 1))
    with ExitStack() as stack:
        connections = [stack.enter_context(Connection(small)) for _ in range(4)]
        for connection in connections:
            connection.send(chunked + chunk)
        for _ in range(1000):
            if _refusals(small, "too_many_body_bytes"):
                break
        found = [found for found in connections if found.is_answered(within_seconds=1)]
        assert 1 <= len(found) <= 2
        for connection in found:
            _is_refused_for_now(connection.answer(), "too_many_body_bytes")


def test_what_was_answered_is_held_no_more(small: ServerProcess) -> None:
    """On one connection, also where bodies come ahead of the answers."""
    padded = b" " * (LARGEST - len(BODY)) + BODY
    with Connection(small) as connection:
        for _ in range(10):
            connection.send(LARGE + padded)
            assert connection.answer().status == 200


def test_a_body_over_its_own_limit_is_no_matter_of_what_is_held(small: ServerProcess) -> None:
    with Connection(small) as connection:
        connection.send(POST + b"content-length: 9000000000\r\n\r\n")
        is_refused(connection.answer(), 413, "payload_too_large")


def test_a_full_server_closes_what_is_idle_for_longest(narrow: ServerProcess) -> None:
    with ExitStack() as stack:
        silent = [stack.enter_context(Connection(narrow)) for _ in range(PLACES)]
        silent[0].send(REQUEST)
        assert silent[0].answer().status == 200  # So it is idle since later than the others.
        another = stack.enter_context(Connection(narrow))
        another.send(REQUEST)
        assert another.answer().status == 200
        assert silent[1].is_closed()
        silent[0].send(REQUEST)
        assert silent[0].answer().status == 200


def test_a_full_server_without_idle_connections_answers_probes_only(narrow: ServerProcess) -> None:
    with ExitStack() as stack:
        busy = [stack.enter_context(Connection(narrow)) for _ in range(PLACES)]
        for connection in busy:
            connection.send(LARGE + b" ")
        with Connection(narrow) as probe:
            probe.send(LIVE)
            answer = probe.answer()
            assert (answer.status, answer.headers["connection"]) == (200, "close")
        for request in (MODELS, REQUEST, LARGE):
            with Connection(narrow) as other:
                other.send(request)
                _is_refused_for_now(other.answer(), "too_many_connections")
                assert other.is_closed()
    for _ in range(1000):  # until the server has seen that they are closed
        with Connection(narrow) as other:
            other.send(MODELS)
            status = other.answer().status
        if status == 200:
            break
    assert status == 200
    assert _refusals(narrow, "too_many_connections") >= 3


def test_few_requests_wait_on_one_connection(narrow: ServerProcess) -> None:
    """The first is being answered, and those beyond what may wait are refused in their turn."""
    with Connection(narrow) as connection:
        connection.send(LIVE * (MAX_PIPELINED + 20))
        statuses = [connection.answer().status for _ in range(MAX_PIPELINED + 1)]
        assert statuses == [200] * (MAX_PIPELINED + 1)
        _is_refused_for_now(connection.answer(), "too_many_connections")
        assert connection.is_closed()


def _unread(server: ServerProcess) -> Connection:
    """A connection on which large answers wait, more than the kernel takes for a slow client."""
    body = json.dumps({"model": "fake-model", "input": ["a"] * 2048}).encode()
    connection = Connection(server, receive_bytes=4096)
    connection.send((POST + b"content-length: %d\r\n\r\n" % len(body) + body) * 12)
    return connection


def test_an_answer_that_is_not_read_is_dropped(hasty: ServerProcess) -> None:
    with _unread(hasty):
        assert hasty.event("answer not read")["bytes"] > 0


def test_an_answer_that_is_read_slowly_is_sent_to_its_end(hasty: ServerProcess) -> None:
    """Over several times the grace."""
    with _unread(hasty) as connection:
        pieces = connection.answer_in_pieces(pause_seconds=GRACE_SECONDS / 4, pieces=20)
        assert len(pieces) == 20


def test_answers_that_are_not_read_are_bounded_in_all(small: ServerProcess) -> None:
    """The one that has waited for longest makes room."""
    with ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(_unread(small))
        assert small.event("answer not read")["bytes"] > 0
