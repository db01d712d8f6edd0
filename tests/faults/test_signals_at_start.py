"""Signals at any moment of a start: the process ends by itself, with 0, and leaves nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from signal import SIGHUP, SIGINT, SIGQUIT, SIGTERM, Signals

import numpy as np
import pytest

from tests.engine.export.small_models import CHECKPOINTS
from tests.functions.ports import free_port
from tests.infra.served import Served, running
from tests.infra.tools import until

pytestmark = pytest.mark.model
STARTS = int(os.environ.get("SIGNALLED_STARTS", "5"))
"""How many starts of each source get a signal; by hand, let it be a hundred."""
ENDING = (SIGTERM, SIGINT, SIGQUIT, SIGHUP)
PATIENCE_SECONDS = 60


@dataclass(frozen=True)
class Source:
    """What is served, and the cache in which its bundle may have to be made first."""

    path: Path
    cache: Path
    log: Path

    @contextmanager
    def starting(self) -> Iterator[Served]:
        """A server that handles signals, whatever else it has done so far."""
        port = free_port()
        command = [sys.executable, "-m", "functions.cli", "serve", "--model-path", str(self.path)]
        command += ["--port", str(port)]
        with running(command, port, self.log, {"XDG_CACHE_HOME": str(self.cache)}) as server:
            until(lambda: _handles(server.process, SIGTERM), "it never handles SIGTERM")
            yield server


def _handles(process: subprocess.Popen[bytes], number: Signals) -> bool:
    """Whether the process has a handler for the signal, as the kernel knows."""
    for line in Path(f"/proc/{process.pid}/status").read_text("ascii").splitlines():
        name, _, value = line.partition(":")
        if name == "SigCgt":
            return bool(int(value, 16) >> (number - 1) & 1)
    raise AssertionError("the kernel does not say which signals are handled")


@pytest.fixture(params=["a bundle", "a checkpoint"])
def source(request: pytest.FixtureRequest, default_bundle: Path, tmp_path: Path) -> Source:
    path = default_bundle if request.param == "a bundle" else CHECKPOINTS / "bert"
    return Source(path, tmp_path / "cache", tmp_path / "log")


def test_no_start_that_is_told_to_end_ends_otherwise(source: Source) -> None:
    """While it imports, loads or makes its bundle: no abort, no traceback, and at once."""
    started = time.monotonic()
    with source.starting() as server:
        until(server.is_ready, "the server is not ready")
        whole = time.monotonic() - started
    rng = np.random.default_rng(20)
    ends: Counter[int] = Counter()
    for _ in range(STARTS):
        if source.cache.exists():
            source.cache.rename(source.cache.with_name(f"cache-{rng.integers(1 << 62):x}"))
        with source.starting() as server:
            time.sleep(rng.uniform(0, whole))
            server.process.send_signal(ENDING[rng.integers(len(ENDING))])
            ends[server.process.wait(PATIENCE_SECONDS)] += 1
    log = source.log.read_text("utf-8", "replace")
    assert (dict(ends), "Traceback" in log) == ({0: STARTS}, False), log[-2000:]


def test_the_next_start_goes_on_where_a_signal_ended_the_making_of_a_bundle(tmp_path: Path) -> None:
    source = Source(CHECKPOINTS / "bert", tmp_path / "cache", tmp_path / "log")
    with source.starting() as server:
        until(lambda: list(source.cache.rglob("*.onnx")), "no bundle is being made")
        server.process.send_signal(SIGTERM)
        assert server.process.wait(PATIENCE_SECONDS) == 0
    with source.starting() as server:
        until(server.is_ready, "the server is not ready")
