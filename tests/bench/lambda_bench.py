"""Measures the Lambda target as it is deployed: the code of the zip, on Python 3.12.

`make bench-lambda` builds it first. One line a figure, then the bars; the exit code says whether
all are met. Starts are fresh processes of the code in `build/lambda/code`, without the emulator,
whose own work would be measured with them; `runtime` is what came before our first line.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.bench.machine import describe, load_average

ROOT = Path(__file__).resolve().parents[2]
CODE = ROOT / "build" / "lambda" / "code"
ZIP = ROOT / "build" / "embellama-lambda.zip"
PROGRAM = Path(__file__).with_name("programs") / "lambda_calls.py"
PHASES = ("Runtime", "Imports", "Settings", "Bundle", "Session", "Application", "WarmUp", "")
_MB = 1e6


@dataclass(frozen=True, slots=True)
class Bar:
    """A figure and the most that it may be."""

    name: str
    value: float
    limit: float
    unit: str

    def line(self) -> str:
        verdict = "met" if self.value <= self.limit else "MISSED"
        return f"{verdict:>7}  {self.name}: {self.value:.1f} {self.unit} (<= {self.limit:g})"


def main() -> int:
    """Measure and judge; 0 if every bar is met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--starts", type=int, default=10)
    parser.add_argument("--calls", type=int, default=500)
    parser.add_argument("--python", help="Python 3.12; by default the one that compiled the code")
    options = parser.parse_args()
    python = options.python or _python()
    print(" ".join(f"{name}={value};" for name, value in describe().items()))
    print(f"load average before: {load_average():.2f} (an idle machine has less than 0.2)")
    bars = list(_sizes())
    for cores in sorted({1, len(os.sched_getaffinity(0))}):
        for evicted in (False, True):
            bars += _starts(python, cores, options.starts, evicted=evicted)
        bars += _calls(python, cores, options.calls)
    print(f"load average after: {load_average():.2f}")
    for bar in bars:
        print(bar.line())
    return 0 if all(bar.value <= bar.limit for bar in bars) else 1


def _sizes() -> Iterator[Bar]:
    unzipped = sum(path.stat().st_size for path in CODE.rglob("*") if path.is_file()) / _MB
    print(f"zipped: {ZIP.stat().st_size / _MB:.1f} MB")
    yield Bar("unzipped", unzipped, 200, "MB")


def _starts(python: str, cores: int, starts: int, *, evicted: bool) -> list[Bar]:
    if evicted:
        reports = [_evict_and_start(python, cores) for _ in range(starts)]
    else:
        _start(python, cores)
        reports = [_start(python, cores) for _ in range(starts)]
    kind = "evicted page cache" if evicted else "warm page cache"
    medians = {phase: _median(reports, phase) for phase in PHASES}
    phases = ", ".join(f"{phase or 'total'} {value:.0f}" for phase, value in medians.items())
    print(f"INIT, {cores} core(s), {kind}, median of {starts}, ms: {phases}")
    if evicted:
        return []
    name = f"{cores} cores, {kind}"
    return [
        Bar(f"INIT, {name}", medians[""], 900, "ms"),
        Bar(f"imports, {name}", medians["Imports"], 500, "ms"),
    ]


def _median(reports: list[dict[str, float]], phase: str) -> float:
    return statistics.median(report[f"Init{phase}Milliseconds"] for report in reports)


def _evict_and_start(python: str, cores: int) -> dict[str, float]:
    for path in CODE.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return _start(python, cores)


def _start(python: str, cores: int) -> dict[str, float]:
    lines = _run(python, cores, ["-c", "import functions.targets.aws_lambda"])
    report: dict[str, float] = json.loads(next(line for line in lines if '"initialized"' in line))
    return report


def _calls(python: str, cores: int, calls: int) -> list[Bar]:
    lines = _run(python, cores, [str(PROGRAM), str(calls)])
    found: dict[str, float] = json.loads(lines[-1])
    print(
        f"warm, {cores} cores, {calls} calls of 9 tokens, ms: handler "
        f"p50 {found['handler_p50']:.2f} p99 {found['handler_p99']:.2f}; Engine.embed "
        f"p50 {found['engine_p50']:.2f} p99 {found['engine_p99']:.2f}; "
        f"resident {found['resident_mb']:.0f} MB; "
        f"in batches of 64 texts, {found['tokens_per_second']:.0f} tokens/s"
    )
    overhead = found["handler_p50"] - found["engine_p50"]
    return [Bar(f"overhead over Engine.embed, {cores} cores, p50", overhead, 5, "ms")]


def _run(python: str, cores: int, arguments: list[str]) -> list[str]:
    """Run with the code of the zip, on the first `cores` CPUs, memory to match."""
    first = sorted(os.sched_getaffinity(0))[:cores]
    result = subprocess.run(
        [python, "-P", *arguments],
        cwd=CODE,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(CODE),
            "PYTHONDONTWRITEBYTECODE": "1",
            "LAMBDA_TASK_ROOT": str(CODE),
            "EMBELLAMA_LOG_LEVEL": "warning",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(1769 * cores),
        },
        preexec_fn=lambda: os.sched_setaffinity(0, first),
        capture_output=True,
        text=True,
        check=True,
    )
    return result.stdout.splitlines()


def _python() -> str:
    sys.path.insert(0, str(ROOT / "infra" / "aws" / "lambda"))
    from package import find_python  # type: ignore[import-not-found]  # a script, not a package

    found: str = find_python()
    return found


if __name__ == "__main__":
    sys.exit(main())
