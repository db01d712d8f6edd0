"""Measures the head of a request, and what comes with its body beside the body itself."""

from __future__ import annotations

from collections.abc import Iterable

from functions.wire_errors import HeadersTooLargeError

MAX_HEAD_BYTES = 64 * 1024
"""Bytes that the request line, the headers, the trailers and the chunk extensions of a request may
have together."""
MAX_HEADERS = 256
"""Headers, or trailers, that a request may have: each takes some 130 bytes of memory, however short
it is. Apache's default is 100, and hardly a request behind several proxies has 50."""
_CHUNK_BYTES = 16
"""What a chunk may have beside its data without its counting: a size of eight digits and three line
ends are 14. (Go's server counts so, too, since CVE-2023-39326.)"""

_FREE_CHUNKS = 64 * 1024
"""After so many a chunk counts with all that it has beside its data: each costs a microsecond,
whatever its size, and 14 MB of single bytes would take 10 seconds of the event loop."""


def head_bytes(url: bytes, headers: Iterable[tuple[bytes, bytes]]) -> int:
    """The size of a request line and headers, but for white space that does not matter."""
    return len(url) + sum(len(name) + len(value) + 4 for name, value in headers)


class BodyMeter:
    """Counts what one body has beside its data. The parser says what it found, but not where.

    So what is parsed at a time is taken for the body's if the body neither began nor ended in it.
    """

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """A request begins."""
        self.data_bytes = 0
        """Of the body, so far."""
        self.is_in_trailers = False
        """Whether no data came after the head of the last chunk: those that may come are trailers,
        unless the data are late."""
        self._declared_bytes: int | None = None
        self._piece_data_bytes = 0
        self._piece_chunks = 0
        self._chunks = 0
        self._other_bytes = 0
        self._trailers = 0
        self._trailer_bytes = 0

    def left_bytes(self, headers: Iterable[tuple[bytes, bytes]]) -> int:
        """How much of the body is to come by its declared length; 0 if there is none."""
        if self._declared_bytes is None:
            lengths = [int(value) for name, value in headers if name == b"content-length"]
            self._declared_bytes = lengths[0] if lengths else 0
        return max(0, self._declared_bytes - self.data_bytes)

    def begin_piece(self) -> None:
        """The next piece of what came is parsed."""
        self._piece_data_bytes = self._piece_chunks = 0

    def add_chunk(self) -> None:
        """The line with a chunk's size was read."""
        self._piece_chunks += 1
        self.is_in_trailers = True

    def add_data(self, size: int) -> None:
        """Data of the body were read."""
        self.data_bytes += size
        self._piece_data_bytes += size
        self.is_in_trailers = False

    def add_trailer(self, name: bytes, value: bytes, head: int) -> None:
        """A trailer was read; the request's head has so many bytes.

        Raises:
            HeadersTooLargeError: it is one too many, or over the bound.
        """
        self._trailers += 1
        self._trailer_bytes += len(name) + len(value) + 4
        if self._trailers > MAX_HEADERS:
            raise HeadersTooLargeError(limit=MAX_HEADERS, unit="trailers")
        if self._trailer_bytes + head > MAX_HEAD_BYTES:
            raise HeadersTooLargeError(limit=MAX_HEAD_BYTES)

    def end_piece(self, size: int) -> int:
        """What the body has beside its data, after a piece that was all the body's."""
        self._chunks += self._piece_chunks
        free = _CHUNK_BYTES * self._piece_chunks if self._chunks <= _FREE_CHUNKS else 0
        self._other_bytes = max(0, self._other_bytes + size - self._piece_data_bytes - free)
        return self._other_bytes
