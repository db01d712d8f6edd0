"""Load from wrk: many connections, each with one request in flight, at little cost itself."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_SCRIPT = Path(__file__).with_name("wrk.lua")
_PATIENCE_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Sent:
    """What came of it. `per_second` counts answers while all connections were busy."""

    per_second: float
    timed: int
    p50_ms: float
    p99_ms: float


class LoadError(Exception):
    """The load could not be sent, or was not answered with 200."""


def send(
    url: str,
    bodies: Sequence[bytes],
    *,
    connections: int,
    wanted: int,
    seconds: float,
    headers: Mapping[str, str] | None = None,
) -> Sent:
    """Send bodies in turn until so many answers have come, or so many seconds have passed.

    Raises:
        LoadError: wrk is not installed, or an answer was not 200, or none came.
    """
    if shutil.which("wrk") is None:
        raise LoadError("wrk is not installed (Debian: apt install wrk).")
    with tempfile.NamedTemporaryFile(prefix="bench-", suffix=".json") as file:
        file.write(b"\n".join(bodies) + b"\n")
        file.flush()
        command = [
            "wrk", "-t1", f"-c{connections}", f"-d{_PATIENCE_SECONDS}s", "--timeout",
            f"{_PATIENCE_SECONDS}s", "-s", str(_SCRIPT), url, "--",
            file.name, str(connections), str(wanted), str(seconds),
        ]  # fmt: skip
        command += [f"{name}: {value}" for name, value in (headers or {}).items()]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    return _read(done.stdout, done.stderr)


def _read(output: str, errors: str) -> Sent:
    lines = [line for line in output.splitlines() if line.startswith("{")]
    if not lines:
        raise LoadError(f"wrk failed: {errors.strip() or output.strip()}")
    found = json.loads(lines[-1])
    if found["refused"] or found["broken"] or not found["timed"]:
        raise LoadError(f"not every request was answered with 200: {found}")
    return Sent(found["timed"] / found["seconds"], found["timed"], found["p50_ms"], found["p99_ms"])
