"""A server in a process of its own, over the fake engine, driven by lines and not by time.

As a program: serves in one of the modes below, on any free port, with JSON logs on stderr.
Each run of the backend prints `run` and waits for a line on stdin, except in the mode `free`.
After the mode come options, each as `field=value`.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
from typing import Any, Self

import httpx2

from engine.engine import Engine
from engine.errors import CertificateError, SourceError
from engine.testing import fake_engine
from engine.types import Batch
from functions.model_options import ModelOptions
from functions.settings import LogFormat, Settings
from functions.targets.server import serve
from tests.processes import end

PATIENCE_SECONDS = 30


def _wait_for_line(_: Batch | None = None) -> None:
    print("run", flush=True)
    sys.stdin.readline()


def _open(mode: str, model: ModelOptions) -> Engine:
    if mode == "broken":
        raise SourceError("There are no files.")
    if mode == "uncertified":
        raise CertificateError("The vectors differ.")
    if mode == "loading":
        _wait_for_line()
    hold = None if mode in ("free", "loading") else _wait_for_line
    return fake_engine(before_run=hold, config=model.engine_config())


def main() -> None:
    mode, *options = sys.argv[1:]
    if "without=uvloop" in options:
        options.remove("without=uvloop")
        sys.modules["uvloop"] = None  # type: ignore[assignment]  # as if it were not installed
    values: dict[str, Any] = {"port": 0, "log_format": LogFormat.JSON}
    settings = Settings(**values | dict(option.split("=", 1) for option in options))
    serve(settings, lambda model: _open(mode, model))


class ServerProcess:
    """The process, its port, and its lines. Ended with the `with` block, whatever happens."""

    def __init__(self, command: list[str]) -> None:
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONWARNINGS": "error"},
        )
        self._events: dict[str, dict[str, Any]] = {}
        listening = self.event("listening")
        self.port = listening["port"]
        self.url = f"{'https' if listening['tls'] else 'http'}://127.0.0.1:{self.port}"

    @classmethod
    def fake_with_descriptors(cls, most: int, *options: str) -> Self:
        """One that may have so many files and sockets open."""
        command = ["sh", "-c", f'ulimit -n {most}; exec "$@"', "sh", sys.executable]
        return cls([*command, "-m", "tests.functions.targets.serving", "free", *options])

    @classmethod
    def fake(cls, mode: str, **options: object) -> Self:
        given = {"shutdown_timeout_seconds": 60} | options
        arguments = [f"{name}={value}" for name, value in given.items()]
        return cls([sys.executable, "-m", "tests.functions.targets.serving", mode, *arguments])

    def event(self, name: str) -> dict[str, Any]:
        """Wait for a log line, unless it has been seen; what it says."""
        assert self.process.stderr is not None
        other: list[str] = []
        while name not in self._events:
            line = self.process.stderr.readline()
            if not line:
                raise AssertionError(f"{name!r} was never logged: {other}")
            if line.startswith("{"):
                event: dict[str, Any] = json.loads(line)
                self._events[event["event"]] = event
            else:
                other.append(line)
        return self._events[name]

    def stop_reading(self) -> None:
        """Let no line of the log out of its pipe from now on, of which few fit in."""
        assert self.process.stderr is not None
        fcntl.fcntl(self.process.stderr, fcntl.F_SETPIPE_SZ, 4096)

    def wait_for_run(self) -> None:
        """Wait until the backend, or the loading, has begun and holds."""
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "run\n"

    def wait_until_queued(self, requests: int) -> None:
        """Wait until so many requests wait for the backend."""
        wanted = f'embellama_queue_requests{{model="fake-model"}} {float(requests)}'
        for _ in range(10_000):
            if wanted in httpx2.get(f"{self.url}/metrics").text.splitlines():
                return
        raise AssertionError(f"{requests} requests never waited")

    def go_on(self) -> None:
        """Let it go on."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def exit_code(self) -> int:
        return self.process.wait(PATIENCE_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self.process:
            end(self.process, signal.SIGKILL)


if __name__ == "__main__":
    main()
