"""What the server adds to `Engine.embed`, one request at a time."""

from __future__ import annotations

import statistics

from tests.bench import wrk
from tests.bench.context import Context
from tests.bench.corpus import SHORT_QUERY
from tests.bench.figures import percentile
from tests.bench.subjects import OURS, bundle_file, open_ours, open_program

_CALLS = 400
_WARM_UP_CALLS = 50


def run(context: Context) -> None:
    """Alternate between calls in process and requests over one connection, in short turns."""
    bundle = str(bundle_file("model.onnx").parent)
    with open_ours() as ours, open_program("engine_calls", bundle) as engine:
        ours.wait_until_ready()
        engine.ask(inputs=SHORT_QUERY, calls=_WARM_UP_CALLS)
        for number in range(2 * context.rounds):
            if number % 2 == 0:
                context.begin_round("latency", number // 2)
            seconds = engine.ask(inputs=SHORT_QUERY, calls=_CALLS)["seconds"]
            context.figures.add("latency/yardstick", statistics.median(seconds) * 1e3, "ms")
            context.figures.add("latency/yardstick/p99", percentile(seconds, 0.99) * 1e3, "ms")
            sent = wrk.send(
                ours.url, [ours.body(SHORT_QUERY)], connections=1, wanted=_CALLS, seconds=30
            )
            context.figures.add(f"latency/{OURS}", sent.p50_ms, "ms")
            context.figures.add(f"latency/{OURS}/p99", sent.p99_ms, "ms")
