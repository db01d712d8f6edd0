"""A real Redis on a port of its own."""

from __future__ import annotations

import shutil
import signal
import subprocess
from pathlib import Path
from typing import Self

import pytest

from tests.processes import end


class RedisServer:
    """The process, which may go and come back."""

    process: subprocess.Popen[str]

    def __init__(self, port: int, directory: Path) -> None:
        self.url = f"redis://127.0.0.1:{port}/0"
        self._command = ["redis-server", "--port", str(port), "--save", "", "--dir", str(directory)]
        self.start()

    @classmethod
    def or_skip(cls, port: int, directory: Path) -> Self:
        """One that runs; skips the test where there is none."""
        if shutil.which("redis-server") is None:
            pytest.skip("redis-server is not installed: limits over several replicas not checked")
        return cls(port, directory)

    def start(self) -> None:
        """Start it anew, empty; return when it can be asked."""
        self.process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        while "Ready to accept connections" not in (line := self.process.stdout.readline()):
            assert line, "redis-server ended"

    def stop(self) -> None:
        """Kill it."""
        with self.process:
            end(self.process, signal.SIGKILL)

    def come_back(self) -> None:
        """Go on if it was frozen, start anew if it was killed."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
        else:
            self.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
