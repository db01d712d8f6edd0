"""Notices when the process has no file descriptor left for a connection, and says so."""

from __future__ import annotations

import errno
import math
import os
import resource
import time
from collections.abc import Callable

from functions.observability import get_logger

_TELL_SECONDS = 60.0
"""How often the log says so while it lasts."""
SHORTAGES = frozenset({errno.EMFILE, errno.ENFILE})


class DescriptorWatch:
    """Looks whether a descriptor is free: event loops refuse connections without a word.

    libuv closes what it can't accept, so that only the client learns of it, and asyncio leaves it
    to wait, with a traceback for each.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.shortages = 0
        """How often none was free."""
        self._clock = clock
        self._is_told = False
        self._told_at = -math.inf

    def look(self) -> None:
        """Count and tell, if no descriptor is free now; else that it is over, if that was told."""
        try:
            os.close(os.open(os.devnull, os.O_RDONLY))
        except OSError as exc:
            if exc.errno in SHORTAGES:
                self.note_shortage()
            return
        if self._is_told:
            self._is_told = False
            get_logger().info("file descriptors are free again")

    def note_shortage(self) -> None:
        """Count that none was free; the log says it once a minute."""
        self.shortages += 1
        now = self._clock()
        if now - self._told_at >= _TELL_SECONDS:
            self._told_at = now
            self._is_told = True
            limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
            get_logger().error(
                "no file descriptor is free: new connections are refused",
                limit=limit,
                cure="raise the limit (ulimit -n, LimitNOFILE=) or lower the connections",
            )


DESCRIPTORS = DescriptorWatch()
"""The limit is the process's, and so is its watch."""
