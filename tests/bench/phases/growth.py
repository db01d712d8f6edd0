"""Whether the server's memory grows with the number of requests. Long: 200,000 of them."""

from __future__ import annotations

from tests.bench import texts, wrk
from tests.bench.context import Context
from tests.bench.machine import anonymous_mb, resident_mb
from tests.bench.subjects import open_ours

_LONE = 1000
_STEP = 20_000
_STEPS = 10
_CONNECTIONS = 32
_PATIENCE_SECONDS = 1800


def run(context: Context) -> None:
    """Note the memory after each 20,000 requests of one word, with the real model; one round.

    The bar is on anonymous memory: what the server allocated. Pages of the mapped model file come
    in besides, as words are first used; they end with the file, and resident memory, noted too,
    counts them. Lone mixed texts come first: those of 32 tokens and more have a session of their
    own, whose buffers are made when it first runs. Beside 31 other connections that may be after
    20,000 requests or after 100,000.
    """
    context.begin_round("growth", 0)
    with open_ours("--log-level", "warning") as ours:
        ours.wait_until_ready()
        lone = [ours.body(text) for text in texts.mixed()]
        wrk.send(ours.url, lone, connections=1, wanted=_LONE, seconds=_PATIENCE_SECONDS)
        anonymous: list[float] = []
        resident: list[float] = []
        for step in range(_STEPS):
            bodies = [ours.body(f"w{step}x{number}") for number in range(1000)]
            wrk.send(
                ours.url,
                bodies,
                connections=_CONNECTIONS,
                wanted=_STEP,
                seconds=_PATIENCE_SECONDS,
            )
            anonymous.append(anonymous_mb(ours.pid))
            resident.append(resident_mb(ours.pid))
        _note(context, "memory/growth", "anonymous", anonymous)
        _note(context, "memory/growth/resident", "resident", resident)


def _note(context: Context, name: str, kind: str, after: list[float]) -> None:
    for value in after:
        context.figures.add(f"{name}/after-20000-each", value, f"MB ({kind})")
    context.figures.add(name, after[-1] - after[0], "MB")
    context.figures.note(
        f"growth: MB {kind} after each 20,000 requests: "
        + ", ".join(f"{value:.1f}" for value in after)
    )
