from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Callable

import pytest
import uvloop

from functions.targets.peer import peer_of
from tests.functions.targets.connections import REQUEST
from tests.functions.targets.serving import ServerProcess

_RESET = struct.pack("ii", 1, 0)
"""Linger for no time: closing sends a reset."""


class _Noting(asyncio.Protocol):
    """Notes who connected as the kernel tells it, and what `peer_of` does."""

    def __init__(self, found: asyncio.Future[tuple[bool, object]]) -> None:
        self.found = found

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        connection = transport.get_extra_info("socket")
        try:
            is_known = bool(connection.getpeername())
        except OSError:
            is_known = False
        self.found.set_result((is_known, peer_of(transport)))
        transport.close()


def _reset_after(address: tuple[str, int], data: bytes, family: int) -> tuple[str, int]:
    """Connect, send and reset; from which address."""
    with socket.socket(family) as client:
        client.connect(address)
        own = client.getsockname()
        client.sendall(data)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    return str(own[0]), int(own[1])


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
@pytest.mark.parametrize(
    ("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")]
)
def test_who_has_reset_before_being_accepted_is_known(
    new_loop: Callable[[], asyncio.AbstractEventLoop], family: int, host: str
) -> None:
    async def connect() -> tuple[tuple[str, int], bool, object]:
        loop = asyncio.get_running_loop()
        found: asyncio.Future[tuple[bool, object]] = loop.create_future()
        server = await loop.create_server(lambda: _Noting(found), host, 0)
        async with server:
            address = server.sockets[0].getsockname()[:2]
            client = _reset_after(address, b"", family)  # before the loop can accept it
            return client, *(await asyncio.wait_for(found, 30))

    with asyncio.Runner(loop_factory=new_loop) as runner:
        client, is_known_to_kernel, peer = runner.run(connect())
    assert not is_known_to_kernel
    assert peer == client


def test_the_log_has_the_address_of_who_resets_at_once() -> None:
    with ServerProcess.fake("free") as server:
        server.event("model ready")
        for _ in range(50):
            _reset_after(("127.0.0.1", server.port), REQUEST, socket.AF_INET)
        assert server.process.stderr is not None
        server.process.terminate()
        lines = [json.loads(line) for line in server.process.stderr if line.startswith("{")]
    clients = {line["client"] for line in lines if line["event"] == "request"}
    assert clients == {"127.0.0.1"}
