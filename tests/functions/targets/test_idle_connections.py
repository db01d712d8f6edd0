"""What is no request does not keep a connection open for longer than an idle one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from functions.targets.httptools_protocol import BoundedHttpToolsProtocol
from tests.functions.targets.serving import PATIENCE_SECONDS

KEEP_ALIVE_SECONDS = 0.2
STEP_SECONDS = KEEP_ALIVE_SECONDS / 10
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
    """An application that answers without reading what is sent."""
    del scope, receive
    await send(
        {"type": "http.response.start", "status": 404, "headers": [(b"content-length", b"0")]}
    )
    await send({"type": "http.response.body"})


@asynccontextmanager
async def _connected() -> AsyncIterator[Streams]:
    """A connection to a server."""
    config = uvicorn.Config(
        _refuse, http=BoundedHttpToolsProtocol, ws="none", lifespan="off", log_config=None
    )
    config.load()
    config.timeout_keep_alive = KEEP_ALIVE_SECONDS  # type: ignore[assignment] # not whole seconds
    state = ServerState()
    server = await asyncio.get_running_loop().create_server(
        lambda: BoundedHttpToolsProtocol(config, state, {}), "127.0.0.1", 0
    )
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        yield reader, writer
        writer.close()


async def _read_answer(reader: asyncio.StreamReader) -> bytes:
    return await reader.readuntil(b"\r\n\r\n")


async def _trickle_until_closed(streams: Streams, data: bytes) -> bytes:
    """Send this again and again; what was read until the other side closed."""
    reader, writer = streams
    reading = asyncio.ensure_future(reader.read())
    while not (await asyncio.wait([reading], timeout=STEP_SECONDS))[0]:
        writer.write(data)
    return await reading


async def _says_nothing(streams: Streams) -> bytes:
    return await streams[0].read()


async def _sends_empty_lines_after_its_request(streams: Streams) -> bytes:
    streams[1].write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
    await _read_answer(streams[0])
    return await _trickle_until_closed(streams, b"\r\n")


async def _sends_a_body_that_nobody_reads(streams: Streams) -> bytes:
    """Its request was answered before, so no deadline of the request is left."""
    streams[1].write(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n")
    assert (await _read_answer(streams[0])).startswith(b"HTTP/1.1 404")
    return await _trickle_until_closed(streams, b"a")


@pytest.mark.parametrize(
    "client",
    [_says_nothing, _sends_a_body_that_nobody_reads, _sends_empty_lines_after_its_request],
)
def test_a_connection_without_a_request_is_closed_as_an_idle_one(
    client: Callable[[Streams], Awaitable[bytes]],
) -> None:
    """Without a word, as there is nothing to be answered."""

    async def run() -> bytes:
        async with asyncio.timeout(PATIENCE_SECONDS), _connected() as streams:
            return await client(streams)

    assert asyncio.run(run()) == b""


def test_a_connection_goes_on_after_a_body_that_nobody_read() -> None:
    """The body came after the answer; then the next request."""

    async def run() -> bytes:
        async with asyncio.timeout(PATIENCE_SECONDS), _connected() as (reader, writer):
            writer.write(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\n")
            await _read_answer(reader)
            writer.write(b"abcGET / HTTP/1.1\r\nhost: x\r\n\r\n")
            return await _read_answer(reader)

    assert asyncio.run(run()).startswith(b"HTTP/1.1 404")
