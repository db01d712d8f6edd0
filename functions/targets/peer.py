"""The address of a client, also of one that has gone before its connection was looked at."""

from __future__ import annotations

import asyncio
import socket
import sys

_SO_PEERNAME = 28
"""Linux, asm-generic/socket.h. Unlike getpeername, it tells the peer of a reset connection, too.

uvloop accepts connections without asking who it is, and a client may reset its own at once."""
_ADDRESSES = {
    socket.AF_INET: (16, slice(4, 8)),  # sockaddr_in
    socket.AF_INET6: (28, slice(8, 24)),  # sockaddr_in6
}
"""Bytes of a family's socket address, and where the address lies in it; the port is before it."""
_PORT = slice(2, 4)


def peer_of(transport: asyncio.BaseTransport) -> tuple[str, int] | None:
    """Address and port of who connected; None if the kernel does not tell them any more."""
    name = transport.get_extra_info("peername")  # asyncio's is what `accept` returned
    if isinstance(name, tuple):
        return str(name[0]), int(name[1])
    connection = transport.get_extra_info("socket")
    return None if connection is None else _last_peer_of(connection)


def _last_peer_of(connection: socket.socket) -> tuple[str, int] | None:
    if sys.platform != "linux" or connection.family not in _ADDRESSES:
        return None
    size, place = _ADDRESSES[connection.family]
    try:
        name = connection.getsockopt(socket.SOL_SOCKET, _SO_PEERNAME, size)
    except OSError:
        return None
    address = socket.inet_ntop(connection.family, name[place])
    return address, int.from_bytes(name[_PORT], "big")
