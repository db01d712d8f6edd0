"""Where the tools are that check files; a test that lacks one says what was not checked."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import httpx2
import pytest

from tests.contract.environments import python_environment

ROOT = Path(__file__).resolve().parents[2]
INFRA = ROOT / "infra"
Found = TypeVar("Found")


def installed(program: str, unchecked: str) -> str:
    """The path of a program that the system's packages bring, or a skip."""
    path = shutil.which(program, path="/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin")
    if path is None:
        pytest.skip(f"{program} is not installed: {unchecked}")
    return path


def pinned(program: str, environment: str = "infra") -> str:
    """The path of a program of the infra environment, or of another one."""
    return str(python_environment(environment).parent / program)


def output(command: Sequence[str | Path], *, stdin: str | None = None) -> str:
    """What a program that must succeed wrote."""
    result = subprocess.run(command, input=stdin, capture_output=True, text=True, cwd=ROOT)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def until(condition: Callable[[], Found | None], what: str, seconds: float = 60) -> Found:
    """Ask ten times a second until there is an answer; what no one tells us can't be awaited."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with suppress(httpx2.TransportError):
            found = condition()
            if found:
                return found
        time.sleep(0.1)
    raise AssertionError(f"{what}: not within {seconds:g} s")
