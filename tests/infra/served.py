"""A certified fake model behind the real server, which breaks as long as a file is there.

As a program: `python -m tests.infra.served FAULT_FILE [field=value ...]`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from engine.engine import Engine
from engine.errors import BackendError
from engine.testing import fake_engine
from engine.types import Batch
from functions.settings import LogFormat, Settings
from functions.targets.server import serve
from tests.engine.certificates import agreement, certify
from tests.functions.ports import free_port
from tests.infra.tools import ROOT, until
from tests.processes import end

MODEL = "fake-model"


@dataclass(frozen=True, slots=True)
class Served:
    """The process and where it listens."""

    process: subprocess.Popen[bytes]
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def is_ready(self) -> bool:
        """Whether the readiness probe succeeds."""
        assert self.process.poll() is None, "the server has ended"
        return httpx2.get(f"{self.url}/health/ready").status_code == 200


def certified_engine(fault: Path) -> Engine:
    """The fake engine with a certificate, as every exported bundle has one."""

    def fail_if_broken(_: Batch) -> None:
        if fault.exists():
            raise BackendError("The backend is broken.")

    engine = fake_engine(dimensions=384, before_run=fail_if_broken, name=MODEL)
    certify(engine, agreement(backend="fake"))
    return engine


@contextmanager
def running(
    command: Sequence[str], port: int, log: Path, environment: Mapping[str, str] | None = None
) -> Iterator[Served]:
    """A server process, ready or not. Its log goes into a file, as nobody reads it meanwhile."""
    with log.open("ab") as file:
        process = subprocess.Popen(
            command, stdout=file, stderr=file, cwd=ROOT, env={**os.environ, **(environment or {})}
        )
    try:
        yield Served(process, port)
    finally:
        end(process, signal.SIGKILL)


@contextmanager
def started(fault: Path, *, port: int = 0, **options: object) -> Iterator[Served]:
    """A server process that is ready."""
    port = port or free_port()
    given = {"port": port, "log_level": "warning"} | options
    arguments = [f"{name}={value}" for name, value in given.items()]
    command = [sys.executable, "-m", "tests.infra.served", str(fault), *arguments]
    with running(command, port, fault.with_suffix(".log")) as server:
        until(server.is_ready, "the server is not ready")
        yield server


def main() -> None:
    fault, *options = sys.argv[1:]
    given = dict(option.split("=", 1) for option in options)
    values: dict[str, Any] = {"log_format": LogFormat.JSON} | given
    settings = Settings(**values)
    serve(settings, lambda _: certified_engine(Path(fault)))


if __name__ == "__main__":
    main()
