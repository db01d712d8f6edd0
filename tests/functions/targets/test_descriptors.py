"""A server that runs out of file descriptors: it says so, goes on, and recovers."""

from __future__ import annotations

import socket
from contextlib import ExitStack

import httpx2
import pytest

from tests.functions.targets.serving import ServerProcess
from tests.infra.tools import until

DESCRIPTORS = 48
BODY = {"model": "fake-model", "input": "the cat"}


@pytest.mark.parametrize("options", [(), ("without=uvloop",)], ids=["uvloop", "asyncio"])
def test_a_shortage_is_told_and_counted_and_ends_with_its_cause(options: tuple[str, ...]) -> None:
    with ServerProcess.fake_with_descriptors(DESCRIPTORS, *options) as server:
        server.event("model ready")
        with ExitStack() as stack, httpx2.Client() as early:
            assert early.post(f"{server.url}/v1/embeddings", json=BODY).status_code == 200
            for _ in range(2 * DESCRIPTORS):
                stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            told = server.event("no file descriptor is free: new connections are refused")
            assert (told["level"], told["limit"]) == ("error", DESCRIPTORS)
            assert early.post(f"{server.url}/v1/embeddings", json=BODY).status_code == 200
            metrics = early.get(f"{server.url}/metrics").text.splitlines()
        assert "embellama_descriptor_shortages_total 0.0" not in metrics
        assert any(line.startswith("embellama_descriptor_shortages_total ") for line in metrics)
        server.event("file descriptors are free again")
        until(
            lambda: httpx2.post(f"{server.url}/v1/embeddings", json=BODY).status_code == 200,
            "it does not serve again",
        )
