"""What comes with a body beside its data is bounded, and so is what comes after its answer."""

from __future__ import annotations

import asyncio
import json
import select
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from functions.targets.httptools_protocol import BoundedHttpToolsProtocol
from functions.targets.metering import MAX_HEAD_BYTES, MAX_HEADERS
from tests.functions.targets.connections import BODY, HEAD, POST, REQUEST, Connection, is_refused
from tests.functions.targets.serving import PATIENCE_SECONDS, ServerProcess

HEAD_SECONDS = 0.5
EXPECTING = (b"host: x", b"host: x\r\nexpect: 100-continue")
CHUNKED = POST + b"transfer-encoding: chunked\r\n\r\n"
H2C = b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n"
CHUNK = b"%x\r\n%b\r\n" % (len(BODY), BODY)
OVER = MAX_HEAD_BYTES + 20_000
FLOOD_BYTES = 64 * 1024 * 1024
BUFFERED_BYTES = 16 * 1024 * 1024
"""More than the buffers of both kernels hold: what is sent beyond was read."""


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    with ServerProcess.fake("free", head_timeout_seconds=HEAD_SECONDS) as started:
        started.event("model ready")
        yield started


@pytest.fixture(scope="module")
def patient() -> Iterator[ServerProcess]:
    """One whose time for heads and trailers does not end."""
    with ServerProcess.fake("free", max_body_bytes=200_000) as started:
        started.event("model ready")
        yield started


@pytest.fixture(scope="module")
def locked() -> Iterator[ServerProcess]:
    with ServerProcess.fake("free", api_key="secret") as started:
        started.event("model ready")
        yield started


def _flood(server: ServerProcess, head: bytes, unit: bytes) -> tuple[int, bytes]:
    """Send without end; how many bytes went until the connection was closed, and the answer."""
    block = unit * (65536 // len(unit))
    sent, answer = 0, b""
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE_SECONDS) as connection:
        connection.sendall(head)
        connection.settimeout(0)
        try:
            while sent < FLOOD_BYTES:
                reads = [connection] if not answer else []
                readable, writable, _ = select.select(reads, [connection], [], PATIENCE_SECONDS)
                answer += connection.recv(65536) if readable else b""
                sent += connection.send(block) if writable else 0
        except OSError:
            pass
    return sent, answer


def _peak_bytes(server: ServerProcess) -> int:
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if "VmHWM" in line) * 1024


@pytest.mark.parametrize(
    "head",
    [CHUNKED, POST + H2C + b"transfer-encoding: chunked\r\n\r\n"],
    ids=["plain", "h2c"],
)
@pytest.mark.parametrize(
    ("begin", "unit"),
    [
        (b"0\r\n", b"a:\r\n"),
        (b"0\r\na: ", b"a"),
        (b"0\r\n", b"a"),
        (b"1;", b"a=b;"),
        (b"1;a=", b"a"),
        (CHUNK + b"0;", b" "),
    ],
    ids=["trailers", "value", "name", "extensions", "extension", "last-extension"],
)
def test_what_has_no_end_beside_the_data_is_refused(
    head: bytes, begin: bytes, unit: bytes, patient: ServerProcess
) -> None:
    """Soon, whole, and without a trace in the server's memory."""
    before = _peak_bytes(patient)
    sent, answer = _flood(patient, head + begin, unit)
    assert answer.startswith(b"HTTP/1.1 4")
    assert b"headers_too_large" in answer or unit == b" "  # No space belongs there: malformed.
    assert sent < BUFFERED_BYTES
    assert _peak_bytes(patient) - before < BUFFERED_BYTES


@pytest.mark.parametrize("piece", [1_000, 1_000_000], ids=["pieces", "at-once"])
@pytest.mark.parametrize(
    "rest",
    [
        b"0\r\n" + b"a:\r\n" * (MAX_HEADERS + 1) + b"\r\n",
        b"0\r\na: " + b"a" * OVER + b"\r\n\r\n",
        b"0\r\n" + b"x-much: %b\r\n" % (b"a" * 1_000) * (OVER // 1_000) + b"\r\n",
        b"1;a=" + b"a" * OVER + b"\r\n \r\n0\r\n\r\n",
        b"".join(b"1;a=%b\r\n \r\n" % (b"a" * 1_000) for _ in range(OVER // 1_000)) + b"0\r\n\r\n",
    ],
    ids=["many", "long", "much", "extension", "extensions"],
)
def test_trailers_and_extensions_count_in_the_bound_of_the_head(
    rest: bytes, piece: int, server: ServerProcess
) -> None:
    """Also behind a request that is answered first."""
    with Connection(server) as connection:
        connection.send(REQUEST)
        request = CHUNKED + CHUNK + rest
        for start in range(0, len(request), piece):
            connection.send(request[start : start + piece])
        assert connection.answer().status == 200
        is_refused(connection.answer(), 431, "headers_too_large")


def test_trailers_and_extensions_up_to_the_bound_are_read(server: ServerProcess) -> None:
    half = b"a" * (MAX_HEAD_BYTES // 2 - 2_000)
    chunk = b"%x;a=%b\r\n%b\r\n" % (len(BODY), half, BODY)
    with Connection(server) as connection:
        connection.send((CHUNKED + chunk + b"0\r\nx-long: " + half + b"\r\n\r\n") * 2)
        assert [connection.answer().status for _ in range(2)] == [200, 200]


def test_tiny_chunks_are_no_extensions(server: ServerProcess) -> None:
    """However many they are: their sizes and line ends do not count."""
    padded = b" " * 30_000 + BODY
    with Connection(server) as connection:
        connection.send(CHUNKED + b"".join(b"1\r\n%c\r\n" % byte for byte in padded))
        connection.send(b"0\r\n\r\n")
        assert connection.answer().status == 200


def test_a_flood_of_tiny_chunks_is_refused(server: ServerProcess) -> None:
    """Each costs the event loop as much as a large one."""
    with Connection(server) as connection:
        connection.send(CHUNKED + b"1\r\n \r\n" * 100_000)
        is_refused(connection.answer(), 431, "headers_too_large")
        assert connection.is_closed()


def test_a_body_that_is_waited_for_may_never_come(server: ServerProcess) -> None:
    """After another answer than "100 Continue", so the connection is not used again."""
    waiting = HEAD.replace(b"/v1/embeddings", b"/nowhere")
    with Connection(server) as connection:
        connection.send(waiting.replace(*EXPECTING))
        answer = connection.answer()
        assert (answer.status, answer.headers["connection"]) == (404, "close")
        assert connection.is_closed()


def test_a_body_that_was_asked_for_leaves_the_connection_open(server: ServerProcess) -> None:
    with Connection(server) as connection:
        connection.send(HEAD.replace(*EXPECTING))
        assert connection.answer().status == 100
        connection.send(BODY + REQUEST)
        answers = [connection.answer() for _ in range(2)]
        assert [answer.status for answer in answers] == [200, 200]
        assert "connection" not in answers[0].headers


@pytest.mark.parametrize("more", [b"", b"a"], ids=["stop", "trickle"])
@pytest.mark.parametrize("begin", [b"0\r\n", b"0\r\nx-last: "], ids=["begin", "header"])
def test_trailers_have_the_time_of_a_head(begin: bytes, more: bytes, server: ServerProcess) -> None:
    with Connection(server) as connection:
        connection.send(CHUNKED + CHUNK + begin)
        while not connection.is_answered(within_seconds=HEAD_SECONDS / 10):
            connection.send(more)
        answer = connection.answer()
        is_refused(answer, 408, "request_timeout")
        assert answer.error["message"] == (
            "The trailers of the request did not come within 0.5 seconds."
        )
        assert connection.is_closed()


def test_a_refused_body_is_one_request(server: ServerProcess) -> None:
    """Of its method, and of its route where that is known by then."""

    def count() -> float:
        lines = httpx2.get(f"{server.url}/metrics").text.splitlines()
        name = 'embellama_requests_total{method="POST"'
        found = [line for line in lines if line.startswith(name) and 'status="431"' in line]
        return sum(float(line.split()[-1]) for line in found)

    before = count()
    with Connection(server) as connection:
        connection.send(CHUNKED + CHUNK)
        connection.send(b"0\r\n" + b"a:\r\n" * (MAX_HEADERS + 2))
        is_refused(connection.answer(), 431, "headers_too_large")
    assert count() == before + 1


async def _tell_headers(scope: Scope, receive: Receive, send: Send) -> None:
    """An application that says what headers it knows after it has read the body."""
    while (await receive()).get("more_body"):
        pass
    body = json.dumps([[name.decode(), value.decode()] for name, value in scope["headers"]])
    length = str(len(body)).encode()
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]}
    )
    await send({"type": "http.response.body", "body": body.encode()})


def test_a_trailer_is_no_header() -> None:
    """Whatever it is called, neither of its own request nor of the next one."""
    trailers = (
        b"authorization: Bearer x\r\nhost: y\r\nx-request-id: z\r\nexpect: 100-continue\r\n"
        b"upgrade: h2c\r\nx-forwarded-for: 192.0.2.1\r\n"
    )
    chunked = b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
    plain = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"

    async def run() -> list[list[list[str]]]:
        config = uvicorn.Config(_tell_headers, ws="none", lifespan="off", log_config=None)
        config.load()
        state = ServerState()
        server = await asyncio.get_running_loop().create_server(
            lambda: BoundedHttpToolsProtocol(config, state, {}), "127.0.0.1", 0
        )
        async with asyncio.timeout(PATIENCE_SECONDS), server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write((chunked + b"1\r\na\r\n0\r\n" + trailers + b"\r\n" + plain) * 2)
            found = []
            for _ in range(4):
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                found.append(json.loads(await reader.readexactly(length)))
            writer.close()
        return found

    own = [["host", "x"], ["transfer-encoding", "chunked"]]
    assert asyncio.run(run()) == [own, [["host", "x"]]] * 2


@pytest.mark.parametrize(
    "trailer", [b"content-length: 5", b"transfer-encoding: chunked", b"connection: close"]
)
def test_a_trailer_that_would_frame_messages_is_refused(
    trailer: bytes, server: ServerProcess
) -> None:
    with Connection(server) as connection:
        connection.send(CHUNKED + CHUNK + b"0\r\n" + trailer + b"\r\n\r\n")
        is_refused(connection.answer())
        assert connection.is_closed()


@pytest.mark.parametrize(
    ("head", "unit", "status"),
    [
        (POST + b"content-length: 9000000000\r\n\r\n", b" ", 413),
        (CHUNKED, b"1000\r\n%b\r\n" % (b" " * 4096), 413),
        (b"POST /nowhere HTTP/1.1\r\nhost: x\r\ncontent-length: 100000000\r\n\r\n", b" ", 413),
        (
            b"POST /nowhere HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n",
            b"1\r\na\r\n",
            404,
        ),
        (
            b"PUT /health HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n",
            b"1\r\na\r\n",
            405,
        ),
        (CHUNKED.replace(b"\r\n\r\n", b"\r\nx-request-timeout-ms: x\r\n\r\n"), b"1\r\na\r\n", 400),
        (b"what is this\r\n\r\n", b"a", 400),
        (POST, b"x-a: 123\r\n", 431),
    ],
    ids=["413", "413-chunks", "413-404", "404", "405", "400", "garbage", "431"],
)
def test_after_an_early_answer_little_is_read(
    head: bytes, unit: bytes, status: int, patient: ServerProcess
) -> None:
    sent, answer = _flood(patient, head, unit)
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert answer.count(b"x-request-id: ") == 1
    assert sent < BUFFERED_BYTES


def test_after_a_missing_key_little_is_read(locked: ServerProcess) -> None:
    sent, answer = _flood(locked, CHUNKED, b"1\r\na\r\n")
    assert answer.startswith(b"HTTP/1.1 401 ")
    assert sent < BUFFERED_BYTES


def test_a_body_that_breaks_after_its_answer_gets_no_second_one(locked: ServerProcess) -> None:
    """The client would take it for the answer to what it sends next."""
    with Connection(locked) as connection:
        connection.send(CHUNKED)
        assert connection.answer().status == 401
        connection.send(b"no size\r\n")
        assert connection.is_closed()


def test_a_connection_goes_on_after_a_body_that_is_small(locked: ServerProcess) -> None:
    with Connection(locked) as connection:
        connection.send(CHUNKED)
        answer = connection.answer()
        assert (answer.status, "connection" in answer.headers) == (401, False)
        connection.send(CHUNK + b"0\r\nx-last: a\r\n\r\n" + CHUNKED + CHUNK + b"0\r\n\r\n")
        assert connection.answer().status == 401


def test_an_answer_to_a_body_that_is_not_read_says_that_the_connection_closes(
    locked: ServerProcess,
) -> None:
    with Connection(locked) as connection:
        connection.send(POST + b"content-length: 10000000\r\n\r\n")
        answer = connection.answer()
        assert (answer.status, answer.headers["connection"]) == (401, "close")
        assert connection.is_closed()
