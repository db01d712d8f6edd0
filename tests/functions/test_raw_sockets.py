"""What a raw connection may send, while others are served."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import httpx2
import pytest

from tests.functions.targets.serving import PATIENCE_SECONDS, ServerProcess

BODY = json.dumps({"model": "fake-model", "input": "the cat"}).encode()


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    with ServerProcess.fake("free", max_body_bytes=2000) as started:
        started.event("model ready")
        yield started


def _connect(server: ServerProcess) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), PATIENCE_SECONDS)


def _head(length: int | None = len(BODY), *more: str) -> bytes:
    lines = [
        "POST /v1/embeddings HTTP/1.1",
        "host: x",
        "content-type: application/json",
        *([] if length is None else [f"content-length: {length}"]),
        *more,
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def _read_until_closed(connection: socket.socket) -> bytes:
    received = b""
    while chunk := connection.recv(65536):
        received += chunk
    return received


def _read_answers(connection: socket.socket, count: int) -> list[int]:
    """The statuses of so many answers with a content-length."""
    reader = connection.makefile("rb")
    statuses = []
    for _ in range(count):
        statuses.append(int(reader.readline().split()[1]))
        length = 0
        while line := reader.readline().strip().lower():
            if line.startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        reader.read(length)
    return statuses


def _others_are_served(server: ServerProcess) -> None:
    response = httpx2.post(
        f"{server.url}/v1/embeddings",
        content=BODY,
        headers={"content-type": "application/json"},
        timeout=PATIENCE_SECONDS,
    )
    assert response.status_code == 200


def test_pipelined_requests_are_answered_in_order(server: ServerProcess) -> None:
    with _connect(server) as connection:
        bad = b"{"
        connection.sendall((_head() + BODY) * 3 + _head(len(bad)) + bad + _head() + BODY)
        assert _read_answers(connection, 5) == [200, 200, 200, 400, 200]


def test_a_body_that_stops_is_given_up_and_its_connection_closed(server: ServerProcess) -> None:
    with _connect(server) as connection:
        connection.sendall(_head(len(BODY), "x-request-timeout-ms: 50") + BODY[:5])
        _others_are_served(server)
        answer = _read_until_closed(connection)
    assert answer.startswith(b"HTTP/1.1 504 ")
    assert b'"code":"deadline_exceeded"' in answer


def test_half_a_request_does_not_keep_others_waiting(server: ServerProcess) -> None:
    with _connect(server) as one, _connect(server) as two, _connect(server) as three:
        one.sendall(b"POST /v1/emb")
        two.sendall(_head()[:60])
        three.sendall(_head() + BODY[:-1])
        _others_are_served(server)
        three.sendall(BODY[-1:])
        assert _read_answers(three, 1) == [200]


def test_a_client_that_leaves_in_mid_body_is_forgotten(server: ServerProcess) -> None:
    for _ in range(20):
        with _connect(server) as connection:
            connection.sendall(_head() + BODY[:5])
    _others_are_served(server)


def test_chunks_over_the_limit_are_refused(server: ServerProcess) -> None:
    chunk = b"3e8\r\n" + b" " * 1000 + b"\r\n"
    with _connect(server) as connection:
        connection.sendall(_head(None, "transfer-encoding: chunked") + chunk * 3)
        assert _read_answers(connection, 1) == [413]
    _others_are_served(server)


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 200,
        b"\x00" * 1000 + b"\r\n\r\n",
        b"GET /nowhere HTTP/9.9\r\n\r\n",
        b"POST /v1/embeddings HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
        (
            b"POST /v1/embeddings HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\n"
            b"transfer-encoding: chunked\r\n\r\n0\r\n\r\n"
        ),
        b"GET / HTTP/1.1\r\nhost: x\r\nbad header\r\n\r\n",
    ],
    ids=["tls", "nul", "version", "negative-length", "smuggling", "header"],
)
def test_what_is_not_http_is_refused_and_dropped(garbage: bytes, server: ServerProcess) -> None:
    with _connect(server) as connection:
        connection.sendall(garbage)
        connection.shutdown(socket.SHUT_WR)
        answer = _read_until_closed(connection)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 4")
    _others_are_served(server)
