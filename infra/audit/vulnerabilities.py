"""What pip-audit knows about pinned packages, and what it could not ask about.

It calls a package that its service does not know skipped, and still ends with "No known
vulnerabilities found": where nothing was looked up, we must not repeat that.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from infra.audit.locks import Pin

_PATIENCE_SECONDS = 600


@dataclass(frozen=True, slots=True)
class Answer:
    """Vulnerabilities as lines, packages that were not looked up, and why, if none was."""

    found: tuple[str, ...]
    unchecked: tuple[str, ...]
    reason: str | None = None


def ask(pins: Sequence[Pin]) -> Answer:
    """Run pip-audit on these versions."""
    names = tuple(pin.name for pin in pins)
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "requirements.txt"
        file.write_text("".join(f"{pin.name}=={pin.version}\n" for pin in pins), "utf-8")
        command = [sys.executable, "-m", "pip_audit", "--requirement", str(file), "--no-deps"]
        command += ["--disable-pip", "--format", "json", "--progress-spinner", "off"]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=_PATIENCE_SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            return Answer((), names, f"no answer within {_PATIENCE_SECONDS} s")
    return read(done.stdout, done.stderr, names)


def read(output: str, errors: str, names: Sequence[str]) -> Answer:
    """What pip-audit's JSON says; where there is none, its last line says why."""
    try:
        rows = json.loads(output)["dependencies"]
    except (ValueError, KeyError, TypeError):
        last = [line for line in errors.splitlines() if line.strip()][-1:]
        return Answer((), tuple(names), last[0] if last else "pip-audit said nothing")
    found = [
        f"{row['name']} {row['version']}: {each['id']}, fixed in {each['fix_versions'] or 'none'}"
        for row in rows
        for each in row.get("vulns", [])
    ]
    looked_up = {row["name"] for row in rows if "skip_reason" not in row}
    unchecked = tuple(name for name in names if name not in looked_up)
    return Answer(tuple(found), unchecked, None if looked_up else "its data can't be had from here")
