"""The first request of clients in Java, Kotlin, Go and Rust, byte for byte as they sent it.

requests.json has, by the client's name and version, the segments that came one after another; the
port is left out of the host. They were recorded from the unmodified libraries in November 2026.
"""

from __future__ import annotations

import base64
import gzip
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from engine import Engine
from tests.functions.targets.connections import Answer, Connection
from tests.functions.targets.serving import ServerProcess

REQUESTS: dict[str, list[str]] = json.loads(
    (Path(__file__).parent / "requests.json").read_text("utf-8")
)
AZURE = "azure-ai-openai 1.0.0-beta.16"
"""Asks for a path and leaves out the model, as Azure's dialect has it, which is not offered."""
SERVED = [name for name in REQUESTS if name != AZURE]
_OPENAI_NAME = "text-embedding-3-small"


def _as_it_came(segments: list[bytes]) -> list[bytes]:
    return segments


def _at_once(segments: list[bytes]) -> list[bytes]:
    return [b"".join(segments)]


def _byte_by_byte(segments: list[bytes]) -> list[bytes]:
    joined = b"".join(segments)
    return [joined[place : place + 1] for place in range(len(joined))]


@pytest.fixture(scope="module")
def server(default_bundle: Path) -> Iterator[ServerProcess]:
    options = ["--model-path", str(default_bundle), "--port", "0", "--log-format", "json"]
    options += ["--served-model-name", _OPENAI_NAME]
    with ServerProcess([sys.executable, "-m", "functions.cli", "serve", *options]) as started:
        started.event("model ready")
        yield started


def _replay(
    server: ServerProcess,
    segments: list[str],
    cut: Callable[[list[bytes]], list[bytes]] = _as_it_came,
) -> Answer:
    with Connection(server) as connection:
        for piece in cut([segment.encode() for segment in segments]):
            connection.send(piece)
        return connection.answer()


def _body(answer: Answer) -> dict[str, Any]:
    is_gzip = answer.headers.get("content-encoding") == "gzip"
    found: dict[str, Any] = json.loads(gzip.decompress(answer.body) if is_gzip else answer.body)
    return found


def _vector(embedding: str | list[float]) -> NDArray[np.float32]:
    if isinstance(embedding, str):
        return np.frombuffer(base64.b64decode(embedding, validate=True), "<f4")
    return np.array(embedding, np.float32)


def _text(segments: list[str]) -> str:
    found: str = "Hello World" if "Hello World" in "".join(segments) else "A cat sleeps on the mat."
    assert found in "".join(segments)
    return found


@pytest.mark.parametrize("cut", [_as_it_came, _at_once, _byte_by_byte])
@pytest.mark.parametrize("name", SERVED)
def test_the_request_of_a_client_gets_the_vector_of_its_text(
    name: str,
    cut: Callable[[list[bytes]], list[bytes]],
    server: ServerProcess,
    default_engine: Engine,
) -> None:
    answer = _replay(server, REQUESTS[name], cut)
    assert answer.status == 200, answer.body
    body = _body(answer)
    (item,) = body["data"]
    wants_base64 = '"base64"' in "".join(REQUESTS[name])
    assert isinstance(item["embedding"], str) == wants_base64
    expected = default_engine.embed(_text(REQUESTS[name])).vectors[0]
    assert np.abs(_vector(item["embedding"]) - expected).max() <= 1e-5
    assert body["model"] == _OPENAI_NAME


def test_azure_s_path_is_a_404_that_names_it_and_the_base_url(server: ServerProcess) -> None:
    answer = _replay(server, REQUESTS[AZURE])
    assert (answer.status, answer.error["code"]) == (404, "not_found")
    assert "'/v1/openai/deployments/all-MiniLM-L6-v2/embeddings'" in answer.error["message"]
    assert "http://127.0.0.1/v1;" in answer.error["message"]


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("async-openai 0.43.0", "/v1//embeddings"),  # a base URL that ends in a slash
        ("Spring AI 1.1.2", "/v1/v1/embeddings"),  # one that has /v1, to which it adds /v1
    ],
)
def test_a_base_url_that_is_a_bit_off_works(name: str, path: str, server: ServerProcess) -> None:
    head, *rest = REQUESTS[name]
    asked = head.replace("POST /v1/embeddings ", f"POST {path} ")
    assert asked != head
    assert _replay(server, [asked, *rest]).status == 200


def test_rig_s_1536_dimensions_are_refused(server: ServerProcess) -> None:
    """It sends them for a model of this name, whatever the model is."""
    head, body = "".join(REQUESTS["rig-core 0.44.0"]).split("\r\n\r\n")
    fields = json.loads(body) | {"model": _OPENAI_NAME, "dimensions": 1536}
    longer = json.dumps(fields)
    head = head.replace(f"content-length: {len(body)}", f"content-length: {len(longer)}")
    answer = _replay(server, [f"{head}\r\n\r\n{longer}"])
    assert (answer.status, answer.error["param"]) == (400, "dimensions")
    assert "384" in answer.error["message"]


def test_go_openai_s_null_for_a_nil_slice_names_the_input(server: ServerProcess) -> None:
    head, body = "".join(REQUESTS["go-openai 1.43.0"]).split("\r\n\r\n")
    shorter = json.dumps(json.loads(body) | {"input": None})
    head = head.replace(f"Content-Length: {len(body)}", f"Content-Length: {len(shorter)}")
    answer = _replay(server, [f"{head}\r\n\r\n{shorter}"])
    assert (answer.status, answer.error["param"]) == (400, "input")


def test_all_thirteen_are_there() -> None:
    assert len(REQUESTS) == 13
