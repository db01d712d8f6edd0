"""What a cold start consists of: seconds by phase, as one line that is a metric as well."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TextIO

NAMESPACE = "Embellama"
_PROCESS = Path("/proc/self/stat")
_START_FIELD = 19
"""Field 22 of proc(5), counted after the name of the program, which may hold spaces."""


class Phases:
    """A stopwatch: each phase ends where the next begins."""

    def __init__(
        self,
        before: Mapping[str, float] | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._clock = clock
        self._last = clock()
        self.seconds = dict(before or {})

    def end(self, name: str) -> None:
        """The phase that ran until now is this one."""
        now = self._clock()
        self.seconds[name] = now - self._last
        self._last = now


def process_age() -> float:
    """Seconds since this process was started, in steps of 10 ms; 0 where nobody knows."""
    try:
        fields = _PROCESS.read_text("ascii", "replace").rpartition(")")[2].split()
    except OSError:
        return 0.0
    started = int(fields[_START_FIELD]) / os.sysconf("SC_CLK_TCK")
    return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - started)


def write_report(phases: Phases, fields: Mapping[str, str], stream: TextIO) -> None:
    """Write the phases in the embedded metric format, which CloudWatch turns into metrics.

    Specification: CloudWatch user guide, "Embedded metric format". The stream must be the
    function's standard output, and the line must not be changed on its way.
    """
    metrics = {
        f"Init{_title(name)}Milliseconds": round(seconds * 1000, 1)
        for name, seconds in phases.seconds.items()
    }
    metrics["InitMilliseconds"] = round(sum(phases.seconds.values()) * 1000, 1)
    definition = {
        "Namespace": NAMESPACE,
        "Dimensions": [["FunctionName"]],
        "Metrics": [{"Name": name, "Unit": "Milliseconds"} for name in metrics],
    }
    head = {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [definition]}
    line = {"_aws": head, "event": "initialized", **fields, **metrics}
    stream.write(json.dumps(line, separators=(",", ":")) + "\n")
    stream.flush()


def _title(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))
