"""What each middleware takes of a request: the same application with and without it.

The application is called as a server calls it, in one thread and without a socket, so that the
differences, of some microseconds, stand out. Short turns alternate between the variants.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import uvloop
from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from functions.app import create_app
from functions.middleware.errors import ErrorMiddleware
from functions.middleware.request_id import RequestIdMiddleware
from functions.observability import configure_logging, start_record
from functions.settings import LogFormat, LogLevel
from tests.bench.corpus import SHORT_QUERY
from tests.bench.programs.fake_server import HEADERS, MODEL, fake_engine, full_settings
from tests.bench.programs.lines import answer_lines

ALL = "all"
NONE = "none"
_BODY = f'{{"model": "{MODEL}", "input": "{SHORT_QUERY}"}}'.encode()


class StartRecord:
    """All that the route needs of the middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run one request."""
        if scope["type"] == "http":
            start_record(scope, "req_0")
        await self.app(scope, receive, send)


def without(app: FastAPI, name: str) -> FastAPI:
    """Take one middleware out; that of request ids leaves the record that others need."""
    for place, layer in enumerate(app.user_middleware):
        if getattr(layer.cls, "__name__", "") == name:
            del app.user_middleware[place]
    if name == RequestIdMiddleware.__name__:
        app.add_middleware(StartRecord)
    return app


def without_any(app: FastAPI) -> FastAPI:
    """Take all middleware out."""
    app.user_middleware.clear()
    app.add_middleware(StartRecord)
    return app


async def _request(app: ASGIApp) -> float:
    """One request; the seconds until its last byte was sent."""
    scope = {
        "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1",
        "method": "POST", "scheme": "http", "path": "/v1/embeddings", "root_path": "",
        "raw_path": b"/v1/embeddings", "query_string": b"", "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 8080), "state": {}, "headers": _headers(),
    }  # fmt: skip
    messages = [{"type": "http.request", "body": _BODY, "more_body": False}]
    status: list[int] = []
    gone = asyncio.Event()

    async def receive() -> Message:
        if messages:
            return messages.pop()
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            status.append(message["status"])

    started = time.perf_counter()
    await app(scope, receive, send)
    seconds = time.perf_counter() - started
    if status != [200]:
        raise RuntimeError(f"answered {status}, not 200")
    return seconds


def _headers() -> list[tuple[bytes, bytes]]:
    given = HEADERS | {"content-type": "application/json", "host": "127.0.0.1:8080"}
    given["content-length"] = str(len(_BODY))
    return [(name.encode(), value.encode()) for name, value in given.items()]


def main() -> None:
    """Answer {"calls": N, "variant": NAME} with the median of N requests, in microseconds."""
    configure_logging(LogLevel.INFO, LogFormat.JSON, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123 - open as long as the process
    settings, engine = full_settings(), fake_engine(sys.argv[1])
    variants: dict[str, Callable[[], FastAPI]] = {
        ALL: lambda: create_app(settings, engine),
        NONE: lambda: without_any(create_app(settings, engine)),
    }
    names = [
        getattr(layer.cls, "__name__", "") for layer in create_app(settings, engine).user_middleware
    ]
    for name in names:
        if name != ErrorMiddleware.__name__:
            variants[name] = lambda name=name: without(create_app(settings, engine), name)  # type: ignore[misc]  # mypy can't infer a default
    apps = {name: make() for name, make in variants.items()}
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:

        async def turn(app: ASGIApp, calls: int) -> list[float]:
            return [await _request(app) for _ in range(calls)]

        def answer(question: dict[str, Any]) -> dict[str, Any]:
            if "variant" not in question:
                return {"variants": list(apps)}
            seconds = runner.run(turn(apps[question["variant"]], question["calls"]))
            return {"microseconds": statistics.median(seconds) * 1e6}

        answer_lines(answer)


if __name__ == "__main__":
    main()
