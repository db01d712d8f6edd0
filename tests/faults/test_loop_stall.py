"""No body that the server reads holds up the requests of others, nor takes memory without end.

With `make faults` the bodies are as large as the default limit allows, and the figures are written
beside its other results.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import httpx2
import pytest

from tests.bench.machine import facts, resident_mb
from tests.faults.conftest import RESULTS_VARIABLE
from tests.faults.large_bodies import BODIES, LEVEL, LargeBody
from tests.faults.stall_probe import Answers, probing
from tests.functions.ports import free_port
from tests.infra.served import Served, running
from tests.infra.tools import until

FULL_BYTES, QUICK_BYTES = 14_600_000, 400_000
LONGEST_STALL_MS = 100
TRIES = 3
"""What else runs on the machine makes single gaps longer, so the least of several counts."""
ADMIN_KEY = "operator"
IDLE_SECONDS = 3.0
_RESULTS = os.environ.get(RESULTS_VARIABLE)


@dataclass(slots=True)
class Row:
    """One request, sent several times.

    Of the times between two probes that are answered beside it, `gaps_ms` has the longest of each
    time that it was sent, and `gap_ms` the least of those.
    """

    body: str
    route: str
    megabytes: float
    status: int
    expected: int
    peak_mb: float
    """What the process had at most, less what it had before."""
    times: list[tuple[float, float]] = field(default_factory=list)
    gaps_ms: list[float] = field(default_factory=list)

    @property
    def gap_ms(self) -> float:
        return min(self.gaps_ms)

    def figures(self) -> dict[str, object]:
        """Without what only matters within the run."""
        values = asdict(self) | {"gap_ms": self.gap_ms}
        values["seconds"] = round(min(end - start for start, end in values.pop("times")), 3)
        del values["expected"]
        return values


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Served]:
    port = free_port()
    command = [sys.executable, "-m", "tests.faults.stall_served"]
    command += [f"port={port}", f"admin_key={ADMIN_KEY}", "log_level=warning"]
    with running(command, port, tmp_path / "log") as served:
        until(served.is_ready, "the server is not ready", seconds=120)
        yield served


def test_no_body_holds_up_others(server: Served) -> None:
    """Each is answered as it has to be, and beside each the probes are answered all the time."""
    size = QUICK_BYTES if _RESULTS is None else FULL_BYTES
    with probing(server.port) as answers:
        idle = time.monotonic()
        time.sleep(IDLE_SECONDS)  # what is measured here: the probe without anything beside it
        idle_until = time.monotonic()
        rows = [_send(server, body, route, size) for body in BODIES for route in body.routes]
    for row in rows:
        row.gaps_ms = [_milliseconds(answers, *time) for time in row.times]
    assert [row for row in rows if row.status != row.expected] == []
    if _RESULTS is not None:
        _write(Path(_RESULTS), rows, _milliseconds(answers, idle, idle_until))
        assert [row for row in rows if row.gap_ms > LONGEST_STALL_MS] == []


def _send(server: Served, body: LargeBody, route: str, size: int) -> Row:
    content = body.make(size)
    headers = {"content-type": "application/json"}
    method = "POST"
    if route == LEVEL:
        method, headers = "PUT", headers | {"authorization": f"Bearer {ADMIN_KEY}"}
    pid = server.process.pid
    before = resident_mb(pid)
    Path(f"/proc/{pid}/clear_refs").write_text("5", "ascii")  # the peak begins anew
    times, statuses = [], set()
    for _ in range(1 if _RESULTS is None else TRIES):
        start = time.monotonic()
        answer = httpx2.request(
            method, f"{server.url}{route}", content=content, headers=headers, timeout=60
        )
        times.append((start, time.monotonic()))
        statuses.add(answer.status_code)
    return Row(
        body=body.name,
        route=route,
        megabytes=round(len(content) / 1e6, 1),
        status=statuses.pop() if len(statuses) == 1 else 0,
        expected=body.status,
        peak_mb=round(_peak_mb(pid) - before),
        times=times,
    )


def _peak_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text("ascii")
    found = re.search(r"VmHWM:\s*(\d+) kB", status)
    assert found is not None
    return int(found[1]) * 1024 / 1e6


def _milliseconds(answers: Answers, start: float, end: float) -> float:
    return round(1000 * answers.longest_gap(start, end), 1)


def _write(faults: Path, rows: list[Row], idle_ms: float) -> None:
    worst = max(rows, key=lambda row: row.gap_ms)
    document = {
        "facts": facts('make faults ARGS="-k loop_stall"'),
        "bar_ms": LONGEST_STALL_MS,
        "idle_gap_ms": idle_ms,
        "longest_gap_ms": worst.gap_ms,
        "largest_peak_mb": max(row.peak_mb for row in rows),
        "bodies": [row.figures() for row in sorted(rows, key=lambda row: -row.gap_ms)],
    }
    text = json.dumps(document, indent=1) + "\n"
    faults.with_name("loop_stall.json").write_text(text, "utf-8")
