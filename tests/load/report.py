"""What the loads found, as a table and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from tests.bench.machine import facts
from tests.load.cases import Outcome
from tests.load.k6 import OUTCOMES


def text(found: Sequence[Outcome]) -> str:
    """One line a load, then one line a promise."""
    notes = (f"{outcome.case.name}: {note}" for outcome in found for note in outcome.sent.notes)
    return "\n".join([*_table(found), "", *_promises(found), *notes, ""])


def write(found: Sequence[Outcome], path: Path) -> None:
    """All that was found; the table beside it, with the ending `.txt`."""
    about = facts("make load")
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


def _promises(found: Sequence[Outcome]) -> Iterator[str]:
    for outcome in found:
        for threshold in outcome.sent.thresholds:
            word = "kept" if threshold.kept else "MISS"
            value = _value(outcome, threshold.metric, threshold.promise)
            promise = f"{threshold.metric} {threshold.promise}"
            yield f"{word}  {outcome.case.name:<10}  {promise:<50}  {value}"


def _value(outcome: Outcome, metric: str, promise: str) -> str:
    if metric in outcome.sent.counts:
        return f"{outcome.sent.counts[metric]:,}"
    times = outcome.sent.latency_ms.get(metric)
    return "" if times is None else f"{times[promise.split('<')[0]]:,.0f} ms"
