"""What everything but the runtime costs: the route over a fake backend, all middleware on."""

from __future__ import annotations

from tests.bench import wrk
from tests.bench.context import Context
from tests.bench.corpus import SHORT_QUERY
from tests.bench.processes import HttpServer
from tests.bench.programs.fake_server import HEADERS, python_command
from tests.bench.subjects import bundle_file

CONNECTIONS = (1, 64)
_SECONDS = 4.0
_REQUESTS = 100_000


def run(context: Context) -> None:
    """Alternate between all middleware and none."""
    bundle = bundle_file("model.onnx").parent
    with (
        HttpServer("overhead", lambda port: python_command(port, bundle), model="fake") as full,
        HttpServer(
            "overhead-bare", lambda port: python_command(port, bundle, bare=True), model="fake"
        ) as bare,
    ):
        for server in (full, bare):
            server.wait_until_ready(HEADERS)
        for number in range(context.rounds):
            context.begin_round("overhead", number)
            for connections in CONNECTIONS:
                for server in (full, bare):
                    _measure(context, server, connections)


def _measure(context: Context, server: HttpServer, connections: int) -> None:
    sent = wrk.send(
        server.url,
        [server.body(SHORT_QUERY)],
        connections=connections,
        wanted=_REQUESTS,
        seconds=context.seconds(_SECONDS),
        headers=HEADERS,
    )
    name = f"{server.name}/{connections}"
    context.figures.add(f"{name}/p50", sent.p50_ms, "ms")
    context.figures.add(f"{name}/p99", sent.p99_ms, "ms")
    context.figures.add(name, sent.per_second, "requests/s")
