"""A raw connection to a server, and what an answer must be that refuses."""

from __future__ import annotations

import json
import re
import select
import socket
import struct
import time
from dataclasses import dataclass
from typing import Any, Self

from tests.functions.targets.serving import PATIENCE_SECONDS, ServerProcess

BODY = json.dumps({"model": "fake-model", "input": "the cat"}).encode()
POST = b"POST /v1/embeddings HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
HEAD = POST + b"content-length: %d\r\n\r\n" % len(BODY)
REQUEST = HEAD + BODY
_TCP_INFO_BYTES, _DATA_SEGS_IN = 160, 152
"""Of Linux's `struct tcp_info`: its begin, and where its field tcpi_data_segs_in lies."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def error(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)["error"]
        return found


class Connection:
    """A raw one, whose answers are read one after the other."""

    def __init__(self, server: ServerProcess, receive_bytes: int | None = None) -> None:
        """Connect; `receive_bytes` is how much the kernel takes before it is read."""
        self._socket = socket.socket()
        if receive_bytes is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self._socket.settimeout(PATIENCE_SECONDS)
        self._socket.connect(("127.0.0.1", server.port))
        self._file = self._socket.makefile("rb")

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def end(self) -> None:
        """Send no more, but read."""
        self._socket.shutdown(socket.SHUT_WR)

    def is_answered(self, within_seconds: float) -> bool:
        """Whether anything can be read by then."""
        return bool(select.select([self._socket], [], [], within_seconds)[0])

    def data_segments(self) -> int:
        """How many pieces with data came so far, by the kernel's count. Linux only."""
        info = self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
        (found,) = struct.unpack_from("=I", info, _DATA_SEGS_IN)
        return int(found)

    def answer(self) -> Answer:
        status = int(self._file.readline().split()[1])
        headers = {}
        while line := self._file.readline().decode().strip():
            name, _, value = line.partition(": ")
            headers[name.lower()] = value
        return Answer(status, headers, self._file.read(int(headers.get("content-length", 0))))

    def answer_in_pieces(self, *, pause_seconds: float, pieces: int) -> list[bytes]:
        """The body of an answer, read in so many equal pieces with a pause before each."""
        self._file.readline()
        size = 0
        while line := self._file.readline().strip():
            name, _, value = line.partition(b": ")
            size = int(value) if name.lower() == b"content-length" else size
        found = []
        for _ in range(pieces):
            time.sleep(pause_seconds)  # the pace of this client
            piece = self._file.read(-(-size // pieces))
            if piece:
                found.append(piece)
        assert sum(map(len, found)) == size
        return found

    def is_closed(self) -> bool:
        try:
            return self._file.read(1) == b""
        except ConnectionResetError:
            return True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._socket.close()


def is_refused(answer: Answer, status: int = 400, code: str | None = None) -> None:
    """Check that it has the shape of all errors, and all headers that every answer has."""
    assert answer.status == status
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["connection"] == "close"
    assert re.fullmatch("req_[0-9a-f]{32}|mine", answer.headers["x-request-id"])
    assert answer.headers["openai-processing-ms"].isdigit()
    assert answer.headers["openai-version"] == "2020-10-01"
    assert set(answer.error) == {"message", "type", "param", "code"}
    assert (answer.error["type"], answer.error["param"]) == ("invalid_request_error", None)
    assert answer.error["code"] == code
