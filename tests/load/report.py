"""What the loads found, as a table and as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from tests.bench.machine import facts
from tests.load.cases import Outcome
from tests.load.k6 import OUTCOMES


def text(found: Sequence[Outcome], *, verdict: bool = True) -> str:
    """One line a load, then one line a promise, unless nothing is judged."""
    promises = [*_promises(found)] if verdict else ["Nothing is judged: the loads were small."]
    notes = (f"{outcome.case.name}: {note}" for outcome in found for note in outcome.sent.notes)
    return "\n".join([*_table(found), "", _availability(found), "", *promises, *notes, ""])


def write(found: Sequence[Outcome], arguments: str, path: Path) -> None:
    """All that was found; the table beside it, with the ending `.txt`.

    `arguments` are those of `make load`.
    """
    about = facts(f"make load{arguments}")
    document = {
        "facts": about,
        "loads": {
            outcome.case.name: {
                "seconds": round(outcome.seconds, 1),
                "most_connections": outcome.most_connections,
                "bound_ms": outcome.bound_ms,
                "tokens_per_second": outcome.tokens_per_second,
                **asdict(outcome.sent),
            }
            for outcome in found
        },
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1) + "\n", "utf-8")
    head = [f"{name:<8}  {value}" for name, value in about.items()]
    path.with_suffix(".txt").write_text("\n".join([*head, "", text(found)]), "utf-8")


def _table(found: Sequence[Outcome]) -> Iterator[str]:
    width = max(len(outcome.case.title) for outcome in found)
    heads = "".join(f"{name:>10}" for name in (*OUTCOMES, "p50 ms", "p99 ms", "connected"))
    yield f"{'':{width}}{heads}"
    for outcome in found:
        counts = "".join(f"{outcome.sent.outcomes[name]:>10,}" for name in OUTCOMES)
        times = outcome.sent.latency_ms.get("accepted_ms", {})
        latency = "".join(f"{times.get(name, 0.0):>10,.0f}" for name in ("med", "p(99)"))
        yield f"{outcome.case.title:<{width}}{counts}{latency}{outcome.most_connections:>10,}"


def _availability(found: Sequence[Outcome]) -> str:
    """How many requests were answered right or refused honestly."""
    good = sum(outcome.sent.outcomes[name] for outcome in found for name in ("right", "refused"))
    sent = sum(sum(outcome.sent.outcomes.values()) for outcome in found)
    share = math.floor(good / sent * 1e4) / 1e2 if sent else 0.0  # down: 100 % are all
    return f"right or refused honestly: {good:,} of {sent:,} ({share:g} %)"


def _promises(found: Sequence[Outcome]) -> Iterator[str]:
    for outcome in found:
        name, least = outcome.case.name, outcome.case.least_connections
        if least:
            value = f"{outcome.most_connections:,}"
            yield _promise(name, f"connections at once>={least}", outcome.has_connections, value)
        for threshold in outcome.sent.thresholds:
            value = _value(outcome, threshold.metric, threshold.promise)
            yield _promise(name, f"{threshold.metric} {threshold.promise}", threshold.kept, value)


def _promise(name: str, promise: str, kept: bool, value: str) -> str:
    return f"{'kept' if kept else 'MISS'}  {name:<10}  {promise:<50}  {value}".rstrip()


def _value(outcome: Outcome, metric: str, promise: str) -> str:
    if metric in outcome.sent.counts:
        return f"{outcome.sent.counts[metric]:,}"
    times = outcome.sent.latency_ms.get(metric)
    return "" if times is None else f"{times[promise.split('<')[0]]:,.0f} ms"
