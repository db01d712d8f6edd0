"""HEAD on a real connection: what a server says there must be followed by nothing."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from tests.functions.targets.serving import PATIENCE_SECONDS, ServerProcess


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    with ServerProcess.fake("free") as started:
        started.event("model ready")
        yield started


@pytest.mark.parametrize("path", ["/", "/health/ready", "/docs", "/v1/models", "/nowhere"])
def test_head_is_answered_without_a_body_on_a_connection_that_goes_on(
    path: str, server: ServerProcess
) -> None:
    """Whatever length the head says, the next answer follows at once."""
    request = f"{{}} {path} HTTP/1.1\r\nhost: x\r\naccept-encoding: gzip\r\n\r\n"
    address = ("127.0.0.1", server.port)
    with socket.create_connection(address, PATIENCE_SECONDS) as connection:
        connection.sendall((request.format("HEAD") * 2 + request.format("GET")).encode())
        reader = connection.makefile("rb")
        lengths = []
        for _ in range(3):
            assert reader.readline().startswith(b"HTTP/1.1 ")
            headers = {}
            while line := reader.readline().strip().decode():
                name, _, value = line.partition(": ")
                headers[name] = value
            lengths.append(int(headers["content-length"]))
        assert lengths[0] == lengths[1] == lengths[2] == len(reader.read(lengths[2]))
