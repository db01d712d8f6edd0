from __future__ import annotations

import asyncio
import json
import threading

import pytest
import structlog
from starlette.requests import ClientDisconnect
from starlette.types import Message

from engine.backends.fake import FakeBackend
from engine.config import EngineConfig
from engine.testing import fake_engine
from functions.app import create_app
from functions.disconnect import while_connected
from functions.settings import Settings
from tests.engine.making import HeldSteps

Logs = list[structlog.typing.EventDict]


async def _never() -> Message:
    await asyncio.Event().wait()
    raise AssertionError


async def _gone() -> Message:
    return {"type": "http.disconnect"}


def test_the_work_of_a_client_that_stays_is_done() -> None:
    async def work() -> int:
        return 5

    assert asyncio.run(while_connected(_never, work())) == 5


def test_the_work_of_a_client_that_goes_is_cancelled() -> None:
    cancelled = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    with pytest.raises(ClientDisconnect):
        asyncio.run(while_connected(_gone, work()))
    assert cancelled == [True]


def test_an_error_of_the_work_is_the_caller_s() -> None:
    async def work() -> None:
        raise ValueError("why")

    with pytest.raises(ValueError, match="why"):
        asyncio.run(while_connected(_never, work()))


def test_a_caller_that_is_cancelled_cancels_the_work() -> None:
    async def run() -> bool:
        began, ended = asyncio.Event(), asyncio.Event()

        async def work() -> None:
            began.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()

        caller = asyncio.ensure_future(while_connected(_never, work()))
        await began.wait()
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        return ended.is_set()

    assert asyncio.run(run())


def test_what_has_not_run_for_a_client_that_went_never_runs(logs: Logs) -> None:
    began, go_on = threading.Event(), threading.Event()

    def wait(_: object) -> None:
        began.set()
        go_on.wait()

    with fake_engine(before_run=wait) as engine:
        app = create_app(Settings(), engine)

        async def run() -> None:
            first = asyncio.ensure_future(_request(app, _never))
            await asyncio.to_thread(began.wait)
            await _request(app, _gone)
            assert engine.queue_state().queued_requests == 0
            go_on.set()
            await first

        asyncio.run(run())
        assert isinstance(engine.backend, FakeBackend)
        assert len(engine.backend.batches) == 1
    assert [line["status"] for line in logs if line["event"] == "request"] == [499, 200]


@pytest.mark.parametrize("path", ["/v1/embeddings", "/v1/tokenize"])
def test_a_text_of_a_client_that_went_is_not_tokenized(path: str, logs: Logs) -> None:
    held = HeldSteps()
    with fake_engine(config=EngineConfig(max_queue_tokens=2000)) as engine:
        engine._tokenize_line.submit(held.steps(), characters=1)
        app = create_app(Settings(), engine)
        for _ in range(3):  # Together they would be more than may wait.
            asyncio.run(_request(app, _gone, path, "cat " * 1025))
        held.let_go.set()
    assert [line["status"] for line in logs if line["event"] == "request"] == [499] * 3


async def _request(
    app: object, then: object, path: str = "/v1/embeddings", text: str = "the cat"
) -> None:
    assert callable(app)
    assert callable(then)
    body = json.dumps({"model": "fake-model", "input": text}).encode()
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        if messages:
            return messages.pop()
        message: Message = await then()
        return message

    async def send(_: Message) -> None:
        pass

    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "query_string": b"",
        "headers": [(b"content-type", b"application/json")],
    }
    await app(scope, receive, send)
