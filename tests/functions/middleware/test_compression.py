from __future__ import annotations

import gzip
import threading

import brotli  # type: ignore[import-untyped] # it has no types
import pytest
import zstandard
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Receive, Scope, Send

from engine.engine import Engine
from functions.app import create_app
from functions.middleware.compression import (
    CompressionMiddleware,
    available_codecs,
    choose_codec,
    leave_uncompressed,
)
from functions.settings import Settings
from tests.functions.middleware.asgi import call

URL = "/v1/embeddings"
OFFERED = ("zstd", "br", "gzip")
LONG = b'{"a": 1.2345}' * 100
DECODE = {
    "zstd": lambda body: zstandard.ZstdDecompressor().decompress(body),
    "br": brotli.decompress,
    "gzip": gzip.decompress,
}


@pytest.mark.parametrize(
    ("accepted", "chosen"),
    [
        ("", None),
        ("gzip", "gzip"),
        ("GZIP", "gzip"),
        ("x-gzip", "gzip"),
        ("gzip, deflate, br, zstd", "zstd"),
        ("gzip, deflate, br", "br"),
        ("gzip;q=1.0, br;q=0.5, zstd;q=0.1", "gzip"),
        ("deflate", None),
        ("*", "zstd"),
        ("*;q=0.1, br", "br"),
        ("zstd;q=0, *", "br"),
        ("*;q=0", None),
        ("gzip;q=0", None),
        ("gzip;q=0.5, identity", None),
        ("gzip;q=0.5, identity;q=0.5", "gzip"),
        ("gzip;q=x", None),
        ("gzip;q=nan", None),
        (";;,,q=1", None),
    ],
)
def test_what_the_client_likes_best_is_chosen(accepted: str, chosen: str | None) -> None:
    assert choose_codec(accepted, OFFERED) == chosen


def _answer(body: bytes, headers: dict[str, str] | None = None) -> ASGIApp:
    return Response(body, headers=headers, media_type="application/json")


@pytest.mark.parametrize("name", OFFERED)
def test_the_client_reads_back_the_same_bytes(name: str) -> None:
    sent = call(CompressionMiddleware(_answer(LONG)), headers={"accept-encoding": name})
    headers = Headers(raw=sent[0]["headers"])
    assert headers["content-encoding"] == name
    assert headers["content-length"] == str(len(sent[1]["body"]))
    assert headers["vary"] == "accept-encoding"
    assert len(sent[1]["body"]) < len(LONG)
    assert DECODE[name](sent[1]["body"]) == LONG


def test_a_plain_answer_that_might_have_been_compressed_says_so() -> None:
    sent = call(CompressionMiddleware(_answer(LONG)))
    headers = Headers(raw=sent[0]["headers"])
    assert (headers["vary"], sent[1]["body"]) == ("accept-encoding", LONG)
    assert "content-encoding" not in headers


async def _marked(scope: Scope, receive: Receive, send: Send) -> None:
    leave_uncompressed(scope)
    await _answer(LONG)(scope, receive, send)


async def _in_pieces(scope: Scope, receive: Receive, send: Send) -> None:
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": LONG, "more_body": True})
    await send({"type": "http.response.body", "body": LONG})


@pytest.mark.parametrize(
    "app",
    [
        _answer(LONG[:1000]),
        _answer(LONG, {"content-encoding": "gzip"}),
        Response(LONG, media_type="image/png"),
        _marked,
        _in_pieces,
    ],
    ids=["short", "compressed", "image", "marked", "pieces"],
)
def test_everything_else_is_sent_as_it_is(app: ASGIApp) -> None:
    sent = call(CompressionMiddleware(app), headers={"accept-encoding": "gzip"})
    assert sent == call(app)


@pytest.mark.parametrize(("size", "off_the_loop"), [(1, False), (100, True)])
def test_a_long_body_is_compressed_off_the_event_loop(size: int, off_the_loop: bool) -> None:
    threads: list[bool] = []

    def note(body: bytes) -> bytes:
        threads.append(threading.current_thread() is not threading.main_thread())
        return body

    app = CompressionMiddleware(_answer(LONG * size), {"gzip": note})
    call(app, headers={"accept-encoding": "gzip"})
    assert threads == [off_the_loop]


def test_gzip_is_always_there() -> None:
    assert list(available_codecs()) == list(OFFERED)


@pytest.mark.parametrize(("encoding_format", "expected"), [("float", "gzip"), ("base64", None)])
def test_vectors_as_floats_are_compressed_and_base64_is_not(
    encoding_format: str, expected: str | None, client: TestClient
) -> None:
    body = {"model": "fake-model", "input": ["a"] * 100, "encoding_format": encoding_format}
    response = client.post(URL, json=body, headers={"accept-encoding": "gzip"})
    assert response.headers.get("content-encoding") == expected
    assert len(response.json()["data"]) == 100


def test_it_can_be_turned_off(engine: Engine) -> None:
    client = TestClient(create_app(Settings(compression=False), engine))
    body = {"model": "fake-model", "input": ["a"] * 100}
    response = client.post(URL, json=body, headers={"accept-encoding": "gzip"})
    assert "content-encoding" not in response.headers
