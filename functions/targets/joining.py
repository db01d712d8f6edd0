"""Sends the head of an answer together with its body."""

from __future__ import annotations

import asyncio
from typing import Any


class JoiningTransport:
    """A transport that sends what is written first in a turn of the event loop with the second.

    uvicorn writes a head and then a body, and uvloop sends each at once: two calls of the kernel
    and two packets, at each of which the client may wake up. A head that no body follows in the
    same turn is sent at its end.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._held: bytes | None = None

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the transport has
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Send this with what is held, or hold it."""
        held = self._held
        if held is None:
            self._held = data
            self._loop.call_soon(self._send_held)
        else:
            self._held = None
            self._transport.writelines((held, data))

    def write_eof(self) -> None:
        """Send what is held, and that nothing follows."""
        self._send_held()
        self._transport.write_eof()

    def close(self) -> None:
        """Send what is held, then close."""
        self._send_held()
        self._transport.close()

    def _send_held(self) -> None:
        held, self._held = self._held, None
        if held is not None and not self._transport.is_closing():
            self._transport.write(held)
