"""Requests and texts a second: our server, the bare runtime, the peers, in turn in each round."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from tests.bench import texts, wrk
from tests.bench.context import Context
from tests.bench.corpus import SHORT_QUERY
from tests.bench.environments import UnavailableError
from tests.bench.processes import HttpServer, Program
from tests.bench.subjects import (
    OURS,
    note_likeness,
    open_bare_runtime,
    open_ours,
    open_rungs,
    open_sentence_transformers,
    peers,
)

CONNECTIONS = (1, 16, 64)
_SECONDS = 4.0
_SHORT_REQUESTS = 3000
_OF_RUNGS = ("short/16", "mixed/16", "batch-32/1")
"""What the fast precisions are measured with: the loads that the plots show."""
_SLOW_INPUTS = 256
"""Requests of so many inputs take peers most of a minute: they are sent in one round only."""


@dataclass(frozen=True, slots=True)
class Load:
    """Requests to send in turn, each with some inputs."""

    name: str
    requests: Sequence[Sequence[str]]
    connections: int
    wanted: int

    @property
    def inputs(self) -> int:
        """Inputs of one request."""
        return len(self.requests[0])


def _loads() -> list[Load]:
    single = [[text] for text in texts.mixed()]
    return [
        *(Load(f"short/{n}", [[SHORT_QUERY]], n, _SHORT_REQUESTS) for n in CONNECTIONS),
        *(Load(f"mixed/{n}", single, n, texts.MIXED) for n in CONNECTIONS),
        Load("batch-32/1", texts.batches(32, 16), 1, 16),
        Load("batch-256/1", texts.batches(256, 2), 1, 1),
    ]


def run(context: Context) -> None:
    """Measure all subjects round by round, beginning with another one each time."""
    with ExitStack() as stack:
        ours = stack.enter_context(open_ours())
        ours.wait_until_ready()
        bare = stack.enter_context(open_bare_runtime())
        others = stack.enter_context(peers(context.peers, context.figures))
        rungs = open_rungs(context.figures, stack)
        note_likeness(ours, [*others, *rungs], context.figures)
        reference = _open_reference(context, stack)
        servers = [ours, *others, *rungs]
        for number in range(context.rounds):
            context.begin_round("throughput", number)
            for load in _loads():
                first = number % len(servers)
                for server in servers[first:] + servers[:first]:
                    slow = server in others and number > 0 and load.inputs >= _SLOW_INPUTS
                    if not slow and (server not in rungs or load.name in _OF_RUNGS):
                        _measure(context, server, load)
                _measure_in_process(context, load, bare, reference)
            if number == 0 or not context.quick:
                _measure_bulk(context, ours, bare)


def _open_reference(context: Context, stack: ExitStack) -> Program | None:
    if "sentence-transformers" not in context.peers:
        return None
    try:
        return stack.enter_context(open_sentence_transformers())
    except UnavailableError as exc:
        context.figures.note(f"sentence-transformers is left out: {exc}")
        return None


def _measure(context: Context, server: HttpServer, load: Load) -> None:
    single = load.inputs == 1
    bodies = [server.body(request[0] if single else request) for request in load.requests]
    name = f"{load.name}/{server.name}"
    try:
        sent = wrk.send(
            server.url,
            bodies,
            connections=load.connections,
            wanted=load.wanted,
            seconds=context.seconds(_SECONDS),
        )
    except wrk.LoadError as exc:
        context.figures.note(f"{name}: {exc}")
        return
    unit = "requests/s" if load.name.startswith("short") else "texts/s"
    context.figures.add(name, sent.per_second * load.inputs, unit)
    context.figures.add(f"{name}/p50", sent.p50_ms, "ms")
    context.figures.add(f"{name}/p99", sent.p99_ms, "ms")


def _measure_in_process(
    context: Context, load: Load, bare: Program, reference: Program | None
) -> None:
    """What needs no server: the bare runtime over all mixed texts, torch over batches of 32."""
    if load.name == "mixed/16":
        sample = texts.mixed()
        answer = bare.ask(texts=sample)
        context.figures.add("mixed/bare", len(sample) / answer["seconds"], "texts/s")
        context.figures.add("mixed/tokens", answer["tokens"] / len(sample), "tokens a text")
    if load.name == "batch-32/1" and reference is not None:
        sample = texts.mixed(128 if context.quick else 256)
        seconds = reference.ask(texts=sample, batch_size=32)["seconds"]
        context.figures.add(f"{load.name}/{reference.name}", len(sample) / seconds, "texts/s")


def _measure_bulk(context: Context, ours: HttpServer, bare: Program) -> None:
    started = time.perf_counter()
    ours.embed(texts.bulk())
    seconds = time.perf_counter() - started
    context.figures.add(f"bulk-2048/1/{OURS}", texts.BULK / seconds, "texts/s")
    seconds = bare.ask(texts=texts.bulk())["seconds"]
    context.figures.add("bulk-2048/bare", texts.BULK / seconds, "texts/s")
