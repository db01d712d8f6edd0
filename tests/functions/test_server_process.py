from __future__ import annotations

import http.client
import json
import os
import sys
from pathlib import Path
from signal import SIGTERM

import httpx2
import pytest

from tests.functions.ports import free_port
from tests.functions.targets.serving import PATIENCE_SECONDS, ServerProcess
from tests.infra.served import running
from tests.infra.tools import until

pytestmark = pytest.mark.model


def _serve(bundle: Path) -> ServerProcess:
    command = [sys.executable, "-m", "functions.cli", "serve", "--model-path", str(bundle)]
    return ServerProcess([*command, "--port", "0", "--log-format", "json"])


def _begin(server: ServerProcess, body: bytes) -> http.client.HTTPConnection:
    """Send all but the body of a request; return when the server has begun to read it."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE_SECONDS)
    connection.putrequest("POST", "/v1/embeddings")
    connection.putheader("content-type", "application/json")
    connection.putheader("content-length", str(len(body)))
    connection.putheader("expect", "100-continue")
    connection.endheaders()
    expected = b"HTTP/1.1 100 Continue\r\n\r\n"
    received = b""
    while len(received) < len(expected):
        received += connection.sock.recv(len(expected) - len(received))
    assert received == expected
    return connection


def test_the_command_serves_the_default_model(default_bundle: Path) -> None:
    with _serve(default_bundle) as server:
        name = server.event("model ready")["model"]
        answer = httpx2.post(
            f"{server.url}/v1/embeddings", json={"model": name, "input": "the cat"}
        ).json()
        assert len(answer["data"][0]["embedding"]) == 384
        assert httpx2.get(f"{server.url}/health").json()["engine"]["name"] == "onnx"


def test_a_signal_in_mid_request_costs_no_request(default_bundle: Path) -> None:
    """A request is in flight when SIGTERM comes; it is answered, then the exit code is 0."""
    with _serve(default_bundle) as server:
        name = server.event("model ready")["model"]
        inputs = [f"{number} cats sat on the mat" for number in range(16)]
        body = json.dumps({"model": name, "input": inputs}).encode()
        in_flight = _begin(server, body)
        server.signal(SIGTERM)
        assert server.event("draining")["in_flight"] == 1
        in_flight.send(body)
        answer = in_flight.getresponse()
        assert answer.status == 200
        assert len(json.loads(answer.read())["data"]) == 16
        in_flight.close()
        assert server.exit_code() == 0


@pytest.mark.parametrize("stderr", ["2>/dev/full", "2>&-", "2>&- >&- <&-"])
def test_a_log_that_can_not_be_written_costs_only_the_log(
    stderr: str, default_bundle: Path
) -> None:
    port = free_port()
    serve = [sys.executable, "-m", "functions.cli", "serve", "--model-path", str(default_bundle)]
    command = ["sh", "-c", f'exec "$@" {stderr}', "sh", *serve, "--port", str(port)]
    with running(command, port, Path(os.devnull)) as server:
        until(server.is_ready, "the server is not ready")
        (model,) = httpx2.get(f"{server.url}/v1/models").json()["data"]
        body = {"model": model["id"], "input": "the cat"}
        assert httpx2.post(f"{server.url}/v1/embeddings", json=body).status_code == 200
        server.process.send_signal(SIGTERM)
        assert server.process.wait(PATIENCE_SECONDS) == 0
