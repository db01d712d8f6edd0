"""What llama.cpp says about a failure: it returns a number and logs the cause."""

from __future__ import annotations

import logging
import threading
from collections import deque

_WARNING, _ERROR, _CONTINUED = 3, 4, 5
"""Levels of `ggml_log_level`; the last one continues the line before."""
_KEPT_LINES = 8

_logger = logging.getLogger(__name__)


class LogTail(threading.local):
    """The last warnings and errors of each thread.

    llama.cpp has one log for the whole process and writes to it on the thread that called it,
    so the lines of a thread belong to the call that this thread makes.
    """

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._keeping = False

    def clear(self) -> None:
        """Forget what was said before the next call."""
        self._lines.clear()
        self._keeping = False

    def receive(self, level: int, text: bytes, _user_data: object) -> None:
        """Take a piece of the log; has the form of `ggml_log_callback`. Never raises."""
        if level != _CONTINUED:
            self._keeping = level in (_WARNING, _ERROR)
        if not self._keeping:
            return
        piece = text.decode("utf-8", "replace").rstrip("\n")
        if level == _CONTINUED and self._lines:
            self._lines[-1] += piece
        else:
            self._lines.append(piece)
            _logger.debug("llama.cpp: %s", piece)

    def cause(self) -> str:
        """The lines since `clear`, as one, to end an error message with."""
        return "; ".join(line.strip() for line in self._lines) or "no cause was logged"
