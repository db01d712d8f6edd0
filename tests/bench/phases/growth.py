"""Whether the server's memory grows with the number of requests. Long: 200,000 of them."""

from __future__ import annotations

from tests.bench import wrk
from tests.bench.context import Context
from tests.bench.machine import resident_mb
from tests.bench.subjects import open_ours

_STEP = 20_000
_STEPS = 10
_CONNECTIONS = 32
_PATIENCE_SECONDS = 1800


def run(context: Context) -> None:
    """Note the memory after each 20,000 requests of one word, with the real model; one round.

    What is resident, shared or not: a share of what is shared changes when others come or go.
    """
    context.begin_round("growth", 0)
    with open_ours("--log-level", "warning") as ours:
        ours.wait_until_ready()
        after: list[float] = []
        for step in range(_STEPS):
            bodies = [ours.body(f"w{step}x{number}") for number in range(1000)]
            wrk.send(
                ours.url,
                bodies,
                connections=_CONNECTIONS,
                wanted=_STEP,
                seconds=_PATIENCE_SECONDS,
            )
            after.append(resident_mb(ours.pid))
            context.figures.add("memory/growth/after-20000-each", after[-1], "MB (RSS)")
        context.figures.add("memory/growth", after[-1] - after[0], "MB")
        context.figures.note(
            "growth: MB after each 20,000 requests: " + ", ".join(f"{value:.1f}" for value in after)
        )
