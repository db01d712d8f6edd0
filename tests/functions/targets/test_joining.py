from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from tests.functions.targets.connections import REQUEST, Connection
from tests.functions.targets.serving import ServerProcess

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="not checked: TCP_INFO is Linux's")


@pytest.fixture
def server() -> Iterator[ServerProcess]:
    with ServerProcess.fake("free") as process:
        process.event("model ready")
        yield process


def test_a_head_and_its_body_come_together(server: ServerProcess) -> None:
    """The kernel sees one piece of data an answer, and not two."""
    with Connection(server) as connection:
        for answers in range(1, 4):
            connection.send(REQUEST)
            assert connection.answer().status == 200
            assert connection.data_segments() == answers


def test_answers_in_a_row_come_in_their_order(server: ServerProcess) -> None:
    """Three requests are sent before the first answer is read; the last one closes."""
    last = REQUEST.replace(b"host: x", b"host: x\r\nconnection: close")
    ids = (b"a", b"b", b"c")
    requests = [
        request.replace(b"host: x", b"host: x\r\nx-request-id: %b" % request_id)
        for request, request_id in zip((REQUEST, REQUEST, last), ids, strict=True)
    ]
    with Connection(server) as connection:
        connection.send(b"".join(requests))
        assert [connection.answer().headers["x-request-id"] for _ in ids] == ["a", "b", "c"]
        assert connection.is_closed()
