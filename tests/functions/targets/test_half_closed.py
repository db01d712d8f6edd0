"""A client that sends no more, as `nc -N`, gets its answers; one that has gone gets no work."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.functions.targets.connections import BODY, HEAD, POST, REQUEST, Connection, is_refused
from tests.functions.targets.serving import ServerProcess

LIVE = b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n"
CHUNKED = POST + b"transfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    with ServerProcess.fake("free") as started:
        started.event("model ready")
        yield started


@pytest.fixture
def held() -> Iterator[ServerProcess]:
    """Computes nothing until it is told to."""
    with ServerProcess.fake("held") as started:
        started.event("model ready")
        yield started


@pytest.mark.parametrize(
    ("sent", "answers"),
    [
        (REQUEST, 1),
        (REQUEST.replace(b"HTTP/1.1", b"HTTP/1.0"), 1),
        (CHUNKED, 1),
        (REQUEST * 3, 3),
        (REQUEST + HEAD[:20], 1),
    ],
    ids=["one", "http-1.0", "chunks", "three", "and-half-a-head"],
)
def test_who_sends_no_more_is_answered(sent: bytes, answers: int, server: ServerProcess) -> None:
    with Connection(server) as connection:
        connection.send(sent)
        connection.end()
        assert [connection.answer().status for _ in range(answers)] == [200] * answers
        assert connection.is_closed()


def test_a_refusal_is_read_by_who_sends_no_more(server: ServerProcess) -> None:
    with Connection(server) as connection:
        connection.send(b"what is this\r\n\r\n")
        connection.end()
        is_refused(connection.answer())
        assert connection.is_closed()


def test_half_a_request_is_given_up_at_once(server: ServerProcess) -> None:
    for part in (HEAD[:20], HEAD, HEAD + BODY[:5]):
        with Connection(server) as connection:
            connection.send(part)
            connection.end()
            assert connection.is_closed()


def test_a_client_that_waits_for_long_is_told_to_go_on(held: ServerProcess) -> None:
    """It reads over the interim answers, by which the server tells that it is there."""
    with Connection(held) as connection:
        connection.send(REQUEST)
        connection.end()
        held.wait_for_run()
        assert connection.answer().status == 100
        held.go_on()
        while (status := connection.answer().status) == 100:
            pass
        assert status == 200
        assert connection.is_closed()


@pytest.mark.parametrize(
    "sent",
    [REQUEST, REQUEST.replace(b"HTTP/1.1", b"HTTP/1.0"), REQUEST + LIVE],
    ids=["http-1.1", "http-1.0", "pipelined"],
)
def test_the_work_of_a_client_that_has_gone_is_dropped(sent: bytes, held: ServerProcess) -> None:
    """Which has sent the same as one that waits; nginx speaks HTTP/1.0 by default."""
    with Connection(held) as first:
        first.send(REQUEST)
        held.wait_for_run()
        with Connection(held) as second:
            second.send(sent)
            held.wait_until_queued(1)
        held.wait_until_queued(0)
        held.go_on()
        assert first.answer().status == 200
