from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from starlette.testclient import TestClient
from starlette.types import Message, Receive, Scope, Send

from engine.backends.fake import FakeBackend
from engine.engine import Engine
from engine.errors import DeadlineExceededError
from engine.testing import fake_engine
from functions.app import create_app
from functions.middleware.deadline import DeadlineMiddleware
from functions.observability import record_of, start_record
from functions.settings import Settings
from tests.functions.middleware.asgi import call, http_scope

URL = "/v1/embeddings"
BODY = {"model": "fake-model", "input": "the cat"}
HEADER = "x-request-timeout-ms"
Held = tuple[Engine, threading.Event, threading.Event]


@pytest.fixture
def held() -> Iterator[Held]:
    """An engine whose first run says when it began; it ends when the test does."""
    began, go_on = threading.Event(), threading.Event()

    def wait(_: object) -> None:
        began.set()
        go_on.wait()

    with fake_engine(before_run=wait) as engine:
        yield engine, began, go_on
        go_on.set()


def _is_504(client: TestClient, headers: dict[str, str]) -> None:
    response = client.post(URL, json=BODY, headers=headers)
    assert response.status_code == 504
    error = response.json()["error"]
    assert (error["type"], error["param"], error["code"]) == (
        "server_error",
        None,
        "deadline_exceeded",
    )


def test_the_server_s_limit_holds(held: Held) -> None:
    client = TestClient(create_app(Settings(request_timeout_seconds=0.001), held[0]))
    _is_504(client, {})
    _is_504(client, {HEADER: "600000"})


def test_a_client_may_ask_for_less(held: Held) -> None:
    _is_504(TestClient(create_app(Settings(), held[0])), {HEADER: "1"})


def test_what_has_not_run_is_dropped(held: Held) -> None:
    engine, began, go_on = held
    first = threading.Thread(target=engine.embed, args=("a",))
    first.start()
    began.wait()
    _is_504(TestClient(create_app(Settings(), engine)), {HEADER: "1"})
    assert engine.queue_state().queued_requests == 0
    go_on.set()
    first.join()
    assert isinstance(engine.backend, FakeBackend)
    assert len(engine.backend.batches) == 1


@pytest.mark.parametrize("wanted", ["", "0", "-1", "1.5", "1e3", "x", "1" * 30, "\u0661"])
def test_a_header_that_is_no_number_of_milliseconds_is_a_400(
    wanted: str, client: TestClient
) -> None:
    response = client.post(URL, json=BODY, headers={HEADER.encode(): wanted.encode()})
    assert response.status_code == 400
    assert HEADER in response.json()["error"]["message"]


def test_enough_time_changes_nothing(client: TestClient) -> None:
    assert client.post(URL, json=BODY, headers={HEADER: "0060000"}).status_code == 200


@pytest.mark.parametrize(("ends", "header"), [(True, None), (False, "close")])
def test_a_body_that_comes_too_slowly_costs_the_connection(ends: bool, header: str | None) -> None:
    messages = [{"type": "http.request", "body": b"a", "more_body": not ends}]
    scope = http_scope()
    record = start_record(scope, "r")

    async def receive() -> Message:
        if messages:
            return messages.pop()
        await asyncio.Event().wait()
        raise AssertionError

    async def read_then_wait(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await receive()

    async def send(_: Message) -> None:
        raise AssertionError

    with pytest.raises(DeadlineExceededError, match=r"within 0\.001 seconds"):
        asyncio.run(_run(DeadlineMiddleware(read_then_wait, 0.001), scope, receive, send))
    assert record.headers.get("connection") == header
    assert record_of(scope) is record


async def _run(app: DeadlineMiddleware, scope: Scope, receive: Receive, send: Send) -> None:
    await app(scope, receive, send)


def test_an_answer_that_has_begun_is_sent_to_its_end() -> None:
    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        loop = asyncio.get_running_loop()
        late = loop.time() + 61
        loop.time = lambda: late  # type: ignore[method-assign] # a minute passes
        for _ in range(3):
            await asyncio.sleep(0)
        await send({"type": "http.response.body", "body": b"all"})

    assert call(DeadlineMiddleware(answer, 60))[-1]["body"] == b"all"


def test_a_time_out_of_the_application_s_own_stays_its_own() -> None:
    async def fail(scope: Scope, receive: Receive, send: Send) -> None:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        call(DeadlineMiddleware(fail, 60))


def test_what_can_not_be_done_in_time_is_refused_at_once() -> None:
    """By the measured throughput, before anything of it is computed: 429, and when to try again."""
    began, go_on = threading.Event(), threading.Event()

    def wait(_: object) -> None:
        began.set()
        go_on.wait()

    many = {"model": "fake-model", "input": [[2, *[index % 12 + 4] * 30] for index in range(100)]}
    with fake_engine(before_run=wait) as engine, ThreadPoolExecutor(2) as threads:
        client = TestClient(create_app(Settings(), engine))
        slow = threads.submit(client.post, URL, json=BODY)
        assert began.wait(20)
        for _ in range(20):  # 4 tokens in the time of these: far below 100,000 tokens a second
            client.get("/health/live")
        go_on.set()
        assert slow.result(20).status_code == 200
        go_on.clear()
        began.clear()
        held = [threads.submit(client.post, URL, json=many)]
        assert began.wait(20)
        held.append(threads.submit(client.post, URL, json=many))
        while engine.queue_state().queued_requests < 1:
            client.get("/health/live")
        refused = client.post(URL, json=many, headers={HEADER: "200"})
        go_on.set()
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "overloaded")
        assert int(refused.headers["retry-after-ms"]) > 0
        assert [future.result(20).status_code for future in held] == [200, 200]
