"""What a soak found, and whether the server stayed the same."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.bench.machine import facts
from tests.soak.samples import Sample, median_memory
from tests.soak.tally import OUTCOMES, SMALLEST_COSINE, Tally

GROWTH_MB = 10.0


@dataclass(frozen=True, slots=True)
class Found:
    """All that was seen. `warm` and `end` are the quiet server after the warm-up and at the end."""

    tally: Tally
    samples: Sequence[Sample]
    warm: Sample
    end: Sample
    reloads: Sequence[float]


@dataclass(frozen=True, slots=True)
class Bar:
    """What must hold, and what was found."""

    what: str
    found: str
    kept: bool


def bars(found: Found) -> list[Bar]:
    """Nothing wrong, nothing failed, nothing grew."""
    outcomes, warm, end = found.tally.outcomes, found.warm, found.end
    busy = [s for s in found.samples if warm.seconds < s.seconds < end.seconds and not s.at_rest]
    quarter = max(1, len(busy) // 4)
    early, late = median_memory(busy[:quarter]), median_memory(busy[-quarter:])
    return [
        Bar("wrong answers: 0", str(outcomes["wrong"]), outcomes["wrong"] == 0),
        Bar("failed requests: 0", str(outcomes["failed"]), outcomes["failed"] == 0),
        Bar(
            f"smallest cosine to a golden vector: {SMALLEST_COSINE} or more",
            f"{found.tally.min_cosine:.7f}",
            found.tally.min_cosine >= SMALLEST_COSINE,
        ),
        _growth("memory at rest (PSS)", warm.memory_mb, end.memory_mb),
        _growth("memory under load (PSS), last quarter over first", early, late),
        _none("threads at rest", warm.threads, end.threads),
        _none("file descriptors at rest", warm.descriptors, end.descriptors),
    ]


def _growth(what: str, before: float, after: float) -> Bar:
    return Bar(
        f"{what}: grows by {GROWTH_MB:g} MB at most",
        f"{before:.1f} -> {after:.1f} MB",
        after - before <= GROWTH_MB,
    )


def _none(what: str, before: int, after: int) -> Bar:
    return Bar(f"{what}: no more", f"{before} -> {after}", after <= before)


def text(found: Found) -> str:
    """As a table."""
    return "\n".join([*_lines(found), ""])


def _lines(found: Found) -> Iterator[str]:
    tally = found.tally
    for name, meaning in OUTCOMES.items():
        yield f"{tally.outcomes[name]:>9,}  {name:<9} {meaning}"
    yield f"{tally.vectors:>9,}  vectors compared; largest difference {tally.max_abs_diff:.1e}"
    yield f"{len(found.reloads):>9,}  reloads of the model"
    yield f"{'':>9}  statuses: " + ", ".join(
        f"{status}: {count:,}" for status, count in sorted(tally.statuses.items())
    )
    yield ""
    for bar in bars(found):
        yield f"{'kept' if bar.kept else 'MISS'}  {bar.what:<62}  {bar.found}"
    yield from tally.notes


def write(found: Found, path: Path, command: str) -> None:
    """All that was found; the table beside it, with the ending `.txt`."""
    about = facts(command)
    document = {
        "facts": about,
        "outcomes": {name: found.tally.outcomes[name] for name in OUTCOMES},
        "statuses": dict(found.tally.statuses),
        "vectors": found.tally.vectors,
        "min_cosine": found.tally.min_cosine,
        "max_abs_diff": found.tally.max_abs_diff,
        "bars": [asdict(bar) for bar in bars(found)],
        "notes": found.tally.notes,
        "reloads": [round(at, 1) for at in found.reloads],
        "quiet": [asdict(found.warm), asdict(found.end)],
        "samples": {
            "seconds": [sample.seconds for sample in found.samples],
            "memory_mb": [sample.memory_mb for sample in found.samples],
            "threads": [sample.threads for sample in found.samples],
            "descriptors": [sample.descriptors for sample in found.samples],
            **{
                name: [sample.outcomes.get(name, 0) for sample in found.samples]
                for name in OUTCOMES
            },
        },
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=None, separators=(",", ": ")) + "\n", "utf-8")
    head = [f"{name:<8}  {value}" for name, value in about.items()]
    path.with_suffix(".txt").write_text("\n".join([*head, "", text(found)]), "utf-8")
