"""What all connections of a server may have together: places, and bytes of unfinished requests."""

from __future__ import annotations

import math
import time
from enum import Enum
from typing import Protocol

from functions.observability import get_logger

FREE_BYTES = 16 * 1024
"""Bytes of unfinished requests that every connection may have beside those that are counted.

So a short request is never refused for the large bodies of others. All connections together hold
128 MiB of these at most, by the default of `max_connections`."""
_EXTRA_PLACES = 64
"""Connections beyond the limit that may still ask for probes: a server that is full is alive, and
an orchestrator that can't tell would end it."""
_TELL_SECONDS = 10.0
"""How often the log says that connections beyond those were dropped without an answer."""


class Place(Enum):
    """What a new connection gets."""

    FULL = "full"
    PROBES_ONLY = "probes_only"
    NONE = "none"


class Leaving(Protocol):
    """A connection that can be asked to leave."""

    def leave(self) -> None:
        """Close at once: nothing is being asked."""
        ...

    def drop_unread(self) -> None:
        """Drop what is not read of an answer."""
        ...


class ConnectionLimits:
    """Counts the connections of a server, and the bytes that they hold.

    A full server closes the connection that has been idle for longest, as nginx does, so that
    neither idle pools nor silent clients keep others out. If none is idle, the new connection is
    accepted and told so with 503: a load balancer then asks another server, where it would wait
    in vain on one that accepts nothing, and take that for dead.

    Answers that are not read have room for as many bytes as requests. Beyond that, the one that
    has waited for longest is dropped with its connection.

    Args:
        max_connections: places.
        max_inflight_body_bytes: bytes that all connections may hold, beyond `FREE_BYTES` of each.
        max_body_bytes: the limit of one body; one such body always fits.
    """

    def __init__(
        self, *, max_connections: int, max_inflight_body_bytes: int, max_body_bytes: int
    ) -> None:
        self.max_body_bytes = max_body_bytes
        self._max_connections = max_connections
        self._max_bytes = max(max_inflight_body_bytes, 2 * max_body_bytes)
        self._taken = 0
        self._extra = 0
        self._bytes = 0
        self._idle: dict[Leaving, None] = {}
        self._unread: dict[Leaving, int] = {}
        self._unread_bytes = 0
        self._dropped = 0
        self._told_at = -math.inf

    def take_place(self) -> Place:
        """A place for a new connection, if there is one or can be made one."""
        if self._taken >= self._max_connections and self._idle:
            longest = next(iter(self._idle))
            del self._idle[longest]
            longest.leave()
        if self._taken < self._max_connections:
            self._taken += 1
            return Place.FULL
        if self._extra < _EXTRA_PLACES:
            self._extra += 1
            return Place.PROBES_ONLY
        self._tell()
        return Place.NONE

    def _tell(self) -> None:
        """Say so, but not at each of a flood."""
        self._dropped += 1
        now = time.monotonic()
        if now - self._told_at >= _TELL_SECONDS:
            get_logger().warning("connections dropped", dropped=self._dropped)
            self._told_at, self._dropped = now, 0

    def give_place(self, place: Place) -> None:
        """A connection leaves."""
        if place is Place.FULL:
            self._taken -= 1
        elif place is Place.PROBES_ONLY:
            self._extra -= 1

    def set_idle(self, connection: Leaving) -> None:
        """Nothing is asked on this connection from now on."""
        self._idle.pop(connection, None)
        self._idle[connection] = None

    def set_busy(self, connection: Leaving) -> None:
        """A request begins on this connection, or it ends."""
        self._idle.pop(connection, None)

    def set_unread(self, connection: Leaving, size: int) -> None:
        """So much of an answer waits to be read on this connection from now on; 0 if none."""
        self._unread_bytes += size - self._unread.pop(connection, 0)
        if size:
            self._unread[connection] = size
        while self._unread_bytes > self._max_bytes and len(self._unread) > 1:
            longest = next(iter(self._unread))
            self.set_unread(longest, 0)
            longest.drop_unread()

    def room_bytes(self) -> int:
        """What may still be held."""
        return self._max_bytes - self._bytes

    def hold(self, size: int) -> None:
        """Count bytes that are held."""
        self._bytes += size

    def release(self, size: int) -> None:
        """They are answered, or their connection has ended."""
        self._bytes -= size
