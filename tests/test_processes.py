from __future__ import annotations

import os
import signal
import subprocess

import pytest

from tests.processes import end

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
        process.wait()
        end(process, group=group)
        assert process.returncode == os.EX_OK
