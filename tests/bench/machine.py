"""The machine, and what a process takes of it. Linux only."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import time
from pathlib import Path

from tests.bench.environments import ROOT

_KIB = 1024


def describe() -> dict[str, str]:
    """What another person has to know to compare figures."""
    model = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text("utf-8"))
    memory = re.search(r"MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text("utf-8"))
    return {
        "cpu": model[1] if model else "unknown",
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{int(memory[1]) / _KIB**2:.0f} GiB" if memory else "unknown",
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def facts(command: str) -> dict[str, str]:
    """The machine, what was measured, when, and how to do it again."""
    return describe() | {
        "commit": _commit(),
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "command": command,
    }


def load_average() -> float:
    """Processes that ran or waited for a core over the last minute: 1 or more is a busy core."""
    return os.getloadavg()[0]


def memory_mb(pid: int) -> float:
    """MB (10^6 bytes) of a process that nobody else has, and its share of what it shares (PSS)."""
    return _rollup(pid, "Pss")


def resident_mb(pid: int) -> float:
    """MB (10^6 bytes) of a process in memory, shared or not (RSS)."""
    return _rollup(pid, "Rss")


def anonymous_mb(pid: int) -> float:
    """MB (10^6 bytes) of a process that no file holds: what it allocated and wrote.

    The rest of what is resident are pages of files, which the kernel reads in as they are first
    used and drops when memory is short: code, and the weights of a mapped model.
    """
    return _rollup(pid, "Anonymous")


def _commit() -> str:
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() or "unknown"


def _rollup(pid: int, entry: str) -> float:
    text = Path(f"/proc/{pid}/smaps_rollup").read_text("utf-8")
    found = re.search(rf"^{entry}:\s*(\d+) kB", text, re.MULTILINE)
    if found is None:
        raise RuntimeError(f"/proc/{pid}/smaps_rollup has no line {entry}.")
    return int(found[1]) * _KIB / 1e6
