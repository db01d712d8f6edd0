"""A disk that fills up while a bundle is made: a small one in memory, which root may mount.

A fetch from S3 onto a full disk is in `tests/engine/sources/test_processes.py`; what a killed build
leaves behind, in `tests/engine/export/test_atomic.py`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.golden import GoldenSet
from tests.faults.clients import ask
from tests.functions.ports import free_port
from tests.infra.served import running
from tests.infra.tools import ROOT, until
from tests.soak.tally import Tally

CHECKPOINT = ROOT / "tests" / "golden" / "checkpoints" / "bert"
SMALL, LARGE = "400k", "64m"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with less room than a bundle needs."""
    directory = tmp_path / "disk"
    directory.mkdir()
    mount = shutil.which("mount", path="/usr/bin:/bin")
    if mount is None or os.geteuid() != 0:
        pytest.skip("not checked: a full disk while a bundle is made, as only root may mount one")
    command = [mount, "-t", "tmpfs", "-o", f"size={SMALL}", "tmpfs", str(directory)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"not checked: a full disk while a bundle is made ({done.stderr.strip()})")
    yield directory
    subprocess.run(["umount", "--lazy", str(directory)], check=True)


def _make_room(disk: Path) -> None:
    subprocess.run(["mount", "-o", f"remount,size={LARGE}", str(disk)], check=True)


def _left_on(disk: Path) -> list[str]:
    found = (path.relative_to(disk) for path in disk.rglob("*") if path.is_file())
    return [str(path) for path in found if path.suffix != ".lock"]


def test_an_export_says_so_leaves_nothing_and_works_when_there_is_room(disk: Path) -> None:
    command = [sys.executable, "-m", "functions.cli", "export", str(CHECKPOINT)]
    command += ["--output", str(disk / "bundle")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"embellama export: {disk / 'bundle'} can't be made: ")
    assert "Make room" in last
    assert "Traceback" not in done.stderr
    assert _left_on(disk) == []

    _make_room(disk)
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    verify = [sys.executable, "-m", "functions.cli", "verify", str(disk / "bundle")]
    subprocess.run(verify, cwd=ROOT, check=True, capture_output=True)


def test_a_server_that_can_not_make_its_bundle_ends_and_the_next_one_serves(
    disk: Path, tmp_path: Path, tally: Tally
) -> None:
    """Nothing is served of half a bundle, and none is left in the cache to be taken for one."""
    port = free_port()
    command = [sys.executable, "-m", "functions.cli", "serve", "--model-path", str(CHECKPOINT)]
    command += ["--port", str(port), "--model-name", "bert", "--log-format", "json"]
    environment = {"XDG_CACHE_HOME": str(disk)}
    log = tmp_path / "log"
    with running(command, port, log, environment) as server:
        assert server.process.wait(120) == 1
    assert "Make room" in log.read_text("utf-8").splitlines()[-1]
    assert _left_on(disk) == []

    _make_room(disk)
    with running(command, port, log, environment) as server:
        until(server.is_ready, "the server is not ready", seconds=120)
        (golden,) = disk.rglob("golden.json")
        ask(server.url, "bert", GoldenSet.load(golden).texts[:4], tally)
    assert tally.outcomes["right"] == 1
