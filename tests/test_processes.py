from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from tests.processes import end, ignored

DEAF = "trap '' TERM; echo ready; sleep 60 & wait"
"""Ignores SIGTERM, as does its child, which inherits that."""


def started(script: str) -> subprocess.Popen[str]:
    """A shell that leads a group and has said that it is ready."""
    process = subprocess.Popen(
        ["sh", "-c", script], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def test_a_process_ends_by_the_signal_it_gets() -> None:
    with started("trap 'exit 7' INT; echo ready; while :; do sleep 0.1; done") as process:
        end(process, signal.SIGINT, group=True)
        assert process.returncode == 7


def test_a_process_that_does_not_end_is_killed_and_told_of() -> None:
    """So is its child: the pipe, which it would keep open, has an end."""
    with started(DEAF) as process:
        assert process.stdout is not None
        with pytest.raises(subprocess.TimeoutExpired):
            end(process, seconds=0.1, group=True)
        assert process.returncode == -signal.SIGKILL
        assert process.stdout.read() == ""


@pytest.mark.parametrize("group", [False, True])
def test_a_process_that_has_ended_is_no_error(group: bool) -> None:
    with started("echo ready") as process:
        process.wait(60)
        end(process, group=group)
        assert process.returncode == os.EX_OK


BACKGROUND = """
import signal, subprocess, sys
from tests.processes import let_children_have_default_signals
let_children_have_default_signals()
signal.raise_signal(signal.SIGINT)
sys.exit(subprocess.run(["sh", "-c", "kill -INT $$"]).returncode)
"""


def test_children_have_default_signals_though_a_background_job_ignores_some() -> None:
    """The job itself goes on ignoring them. A shell's background job inherits an ignored SIGINT."""
    with ignored(signal.SIGINT), subprocess.Popen([sys.executable, "-c", BACKGROUND]) as process:
        assert process.wait(60) == 256 - signal.SIGINT
