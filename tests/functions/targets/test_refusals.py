"""What is not HTTP is refused in the shape of all errors, in turn."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx2
import pytest

from functions.targets.metering import MAX_HEAD_BYTES
from tests.functions.targets.connections import BODY, POST, REQUEST, Connection, is_refused
from tests.functions.targets.serving import ServerProcess

CHUNKED = POST + b"transfer-encoding: chunked\r\n"
OVER = MAX_HEAD_BYTES + 20_000
H2C = b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n"


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    with ServerProcess.fake("free") as started:
        started.event("model ready")
        yield started


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 200,
        b"what is this\r\n\r\n",
        b"GET / FTP/1.1\r\n\r\n",
        POST + b"content-length: -1\r\n\r\n",
        POST + b"content-length: 1\r\ncontent-length: 2\r\n\r\n",
        POST + b"bad header\r\n\r\n",
    ],
    ids=["tls", "line", "version", "negative-length", "two-lengths", "header"],
)
def test_what_is_not_http_is_refused_as_json(garbage: bytes, server: ServerProcess) -> None:
    """With all headers that every answer has; then the connection is closed."""
    with Connection(server) as connection:
        connection.send(garbage)
        is_refused(connection.answer())
        assert connection.is_closed()


def test_a_chunk_without_a_size_is_refused_as_json(server: ServerProcess) -> None:
    """Although its request has begun to be answered; the client's id is kept."""
    with Connection(server) as connection:
        connection.send(CHUNKED + b"x-request-id: mine\r\n\r\n3\r\n{  \r\n")
        connection.send(b"no size\r\n")
        answer = connection.answer()
        is_refused(answer)
        assert answer.headers["x-request-id"] == "mine"
        assert connection.is_closed()


def test_a_refusal_waits_for_the_answers_before_it(server: ServerProcess) -> None:
    """Else the client would take it for the answer to its first request."""
    with Connection(server) as connection:
        connection.send(REQUEST * 2 + b"what is this\r\n\r\n" + b"\x00" * 10_000)
        assert [connection.answer().status for _ in range(2)] == [200, 200]
        is_refused(connection.answer())
        assert connection.is_closed()


def test_a_broken_body_behind_others_is_refused_in_turn(server: ServerProcess) -> None:
    with Connection(server) as connection:
        connection.send(REQUEST + CHUNKED + b"\r\nno size\r\n")
        assert connection.answer().status == 200
        is_refused(connection.answer())


@pytest.mark.parametrize("piece", [1_000, 1_000_000], ids=["pieces", "at-once"])
@pytest.mark.parametrize(
    "head",
    [
        POST + b"x-long: " + b"a" * OVER + b"\r\n\r\n",
        POST + b"x-many: 123456\r\n" * (OVER // 16) + b"\r\n",
        b"GET /" + b"a" * OVER + b" HTTP/1.1\r\nhost: x\r\n\r\n",
    ],
    ids=["header", "headers", "path"],
)
def test_a_head_over_the_bound_is_refused(head: bytes, piece: int, server: ServerProcess) -> None:
    """Whether it comes at once or in pieces, and whatever is long in it."""
    with Connection(server) as connection:
        for start in range(0, len(head), piece):
            connection.send(head[start : start + piece])
        is_refused(connection.answer(), 431, "headers_too_large")


def test_a_head_without_an_end_is_not_read_for_ever(server: ServerProcess) -> None:
    """The refusal comes though the head has not ended."""
    with Connection(server) as connection:
        connection.send(POST + b"x-long: " + b"a" * 6 * MAX_HEAD_BYTES)
        is_refused(connection.answer(), 431, "headers_too_large")


def test_a_head_up_to_the_bound_is_read(server: ServerProcess) -> None:
    """Also in pieces, and behind a large body in the same read."""
    long = b"x-long: %b\r\n" % (b"a" * (MAX_HEAD_BYTES - 1000))
    with Connection(server) as connection:
        padded = b" " * 100_000 + BODY
        connection.send(POST + b"content-length: %d\r\n\r\n" % len(padded) + padded + POST + long)
        connection.send(b"content-length: %d\r\n\r\n" % len(BODY) + BODY)
        assert [connection.answer().status for _ in range(2)] == [200, 200]


def test_an_offer_to_speak_http_2_is_ignored(server: ServerProcess) -> None:
    """The body is read, also in pieces and of chunks, and the connection goes on as it was."""
    offer = POST + H2C + b"content-length: %d\r\n\r\n" % len(BODY)
    chunks = CHUNKED + H2C + b"\r\n%x\r\n" % len(BODY) + BODY + b"\r\n0\r\n\r\n"
    with Connection(server) as connection:
        connection.send(offer + BODY)
        assert connection.answer().status == 200
        connection.send(offer)
        connection.send(BODY[:5])
        connection.send(BODY[5:] + chunks + REQUEST)
        assert [connection.answer().status for _ in range(3)] == [200, 200, 200]
        connection.send(b"GET /health HTTP/1.1\r\nhost: x\r\n" + H2C + b"\r\n")
        assert connection.answer().status == 200


def test_an_offer_to_speak_websockets_is_ignored(server: ServerProcess) -> None:
    with Connection(server) as connection:
        connection.send(
            b"GET /health HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"
        )
        assert connection.answer().status == 200


def test_a_wish_for_a_tunnel_is_refused(server: ServerProcess) -> None:
    with Connection(server) as connection:
        connection.send(b"CONNECT example.org:443 HTTP/1.1\r\nhost: example.org\r\n\r\n")
        is_refused(connection.answer())


def test_refusals_are_counted(server: ServerProcess) -> None:
    """As requests of no route, by their status."""
    with Connection(server) as connection:
        connection.send(b"what is this\r\n\r\n")
        connection.answer()
    metrics = httpx2.get(f"{server.url}/metrics").text
    name = 'embellama_requests_total{method="other",route="unmatched",status="400"}'
    assert re.search(re.escape(name) + r" [1-9]", metrics)
