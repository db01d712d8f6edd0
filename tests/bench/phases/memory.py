"""What the server's process has over the bare runtime's, with the same model."""

from __future__ import annotations

import time

from tests.bench import texts, wrk
from tests.bench.context import Context
from tests.bench.machine import memory_mb, resident_mb
from tests.bench.processes import HttpServer, Program
from tests.bench.subjects import open_bare_runtime, open_ours

_SETTLE_SECONDS = 1.0


def run(context: Context) -> None:
    """Start both anew in each round: after the start, after one request, after much load."""
    for number in range(context.rounds):
        context.begin_round("memory", number)
        with open_ours() as ours, open_bare_runtime() as bare:
            ours.wait_until_ready()
            bare.ask(texts=["ready?"])
            _note(context, "idle", ours, bare)
            _load(ours)
            bare.ask(texts=texts.mixed())
            bare.ask(texts=texts.bulk())
            _note(context, "loaded", ours, bare)


def _load(ours: HttpServer) -> None:
    """Single texts over 64 connections, a batch of 256, and one of 2048."""
    single = [ours.body(text) for text in texts.mixed()]
    wrk.send(ours.url, single, connections=64, wanted=texts.MIXED, seconds=30)
    ours.embed(texts.mixed(256))
    ours.embed(texts.bulk())


def _note(context: Context, when: str, ours: HttpServer, bare: Program) -> None:
    time.sleep(_SETTLE_SECONDS)
    for name, process in (("ours", ours), ("yardstick", bare)):
        context.figures.add(f"memory-{when}/{name}", memory_mb(process.pid), "MB (PSS)")
        context.figures.add(f"memory-{when}/{name}/rss", resident_mb(process.pid), "MB (RSS)")
