"""Closes a connection so that its client gets to read the last answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

_LINGER_SECONDS = 2.0
_READ_SECONDS = 0.5
"""How long a client has to read an answer, when nothing more of what it sends is read."""
MAX_DROPPED_BYTES = 256 * 1024
"""What is read and dropped of a body that is answered already, or of what was refused.

A body that ends within it leaves its connection usable. Go's server reads as much.
"""


class LingeringTransport:
    """A transport that, when it is closed while more may come, first says so and reads on a little.

    A client that is refused in the middle of what it sends has bytes under way. A connection that
    is closed with bytes unread is reset, and the reset takes the refusal away from the client
    before it was read (RFC 9112, section 9.6).
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        loop: asyncio.AbstractEventLoop,
        may_get_more: Callable[[], bool],
    ) -> None:
        self._transport = transport
        self._loop = loop
        self._may_get_more = may_get_more
        self._is_closed = False

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the transport has
        return getattr(self._transport, name)

    def is_closing(self) -> bool:
        """Whether nothing can be sent any more."""
        return self._is_closed or self._transport.is_closing()

    def close(self) -> None:
        """Send no more; end at once, or where more may come when the client does, or after 2 s."""
        if self.is_closing() or not self._may_get_more():
            self._transport.close()
            return
        self._is_closed = True
        if self._transport.can_write_eof():  # TLS can't close one direction.
            self._transport.write_eof()
        is_reading = self._transport.is_reading()
        self._loop.call_later(_LINGER_SECONDS if is_reading else _READ_SECONDS, self._end)

    def pause_reading(self) -> None:
        """Read no more; if this is closed, the client has a moment to read what it was sent."""
        self._transport.pause_reading()
        if self._is_closed:
            self._loop.call_later(_READ_SECONDS, self._end)

    def _end(self) -> None:
        """End whatever the client does. TLS waits for it once more, and reads all until then."""
        if self._transport.is_reading():
            self._transport.close()
            self._loop.call_later(_READ_SECONDS, self._transport.abort)
        else:
            self._transport.abort()
