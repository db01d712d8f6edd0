"""Single queries at a steady rate: alone, and beside requests of 2048 inputs without a pause."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.bench import texts
from tests.bench.context import Context
from tests.bench.corpus import SHORT_QUERY
from tests.bench.figures import percentile
from tests.bench.processes import HttpServer
from tests.bench.subjects import open_ours

_PER_SECOND = 10
_IDLE_SECONDS = 20.0
_BULK_REQUESTS = 2
_PATIENCE_SECONDS = 600


def run(context: Context) -> None:
    """In each round: queries alone, bulk alone, both."""
    with open_ours() as ours:
        ours.wait_until_ready()
        body = ours.body(texts.bulk())
        for number in range(context.rounds):
            context.begin_round("fairness", number)
            with _queries(ours) as idle:
                time.sleep(context.seconds(_IDLE_SECONDS))
            _add_latencies(context, "idle", idle)
            requests = 1 if context.quick else _BULK_REQUESTS
            seconds = _send_bulk(ours, body, requests)
            context.figures.add("fairness/alone/bulk", texts.BULK / seconds, "texts/s")
            with _queries(ours) as beside:
                seconds = _send_bulk(ours, body, requests)
            context.figures.add("fairness/both/bulk", texts.BULK / seconds, "texts/s")
            _add_latencies(context, "both", beside)


def _add_latencies(context: Context, name: str, seconds: list[float]) -> None:
    context.figures.add(f"fairness/{name}/p50", percentile(seconds, 0.5) * 1e3, "ms")
    context.figures.add(f"fairness/{name}/p99", percentile(seconds, 0.99) * 1e3, "ms")
    context.figures.add(f"fairness/{name}/queries", len(seconds), "queries")


def _send_bulk(server: HttpServer, body: bytes, requests: int) -> float:
    """Send the requests one after the other; the seconds that one takes."""
    connection = _connect(server)
    started = time.perf_counter()
    for _ in range(requests):
        _ask(connection, body)
    seconds = (time.perf_counter() - started) / requests
    connection.close()
    return seconds


@contextmanager
def _queries(server: HttpServer) -> Iterator[list[float]]:
    """Ask at a steady rate as long as the block runs; the seconds of each query.

    A query that is late because the one before took long counts from when it was due.
    """
    seconds: list[float] = []
    ended = threading.Event()

    def ask() -> None:
        connection = _connect(server)
        due = time.perf_counter()
        while not ended.wait(max(0.0, due - time.perf_counter())):
            _ask(connection, server.body(SHORT_QUERY))
            seconds.append(time.perf_counter() - due)
            due += 1 / _PER_SECOND
        connection.close()

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield seconds
    finally:
        ended.set()
        thread.join()


def _connect(server: HttpServer) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", server.port, timeout=_PATIENCE_SECONDS)


def _ask(connection: http.client.HTTPConnection, body: bytes) -> None:
    connection.request("POST", "/v1/embeddings", body, {"content-type": "application/json"})
    answer = connection.getresponse()
    answer.read()
    if answer.status != 200:
        raise RuntimeError(f"answered {answer.status}, not 200")
