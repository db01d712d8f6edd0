"""Programs under measurement, each in a process of its own that ends with its `with` block."""

from __future__ import annotations

import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import numpy as np

from tests.bench.environments import CACHE, ROOT, UnavailableError
from tests.functions.ports import free_port
from tests.processes import end

_START_SECONDS = 300
_STOP_SECONDS = 20
_ANSWER_SECONDS = 600
OFFLINE = {
    "PYTHONFAULTHANDLER": "1",
    "HF_HUB_OFFLINE": "1",
    "INFINITY_ANONYMOUS_USAGE_STATS": "0",
    "TOKENIZERS_PARALLELISM": "true",
}


class Process:
    """A process; what it writes to stderr, and unless it answers there to stdout, is kept."""

    answers = False

    def __init__(
        self, name: str, command: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> None:
        CACHE.mkdir(parents=True, exist_ok=True)
        self.name = name
        self.log = CACHE / f"{name}.log"
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE if self.answers else log,
                stderr=log,
                cwd=ROOT,
                env={**os.environ, **OFFLINE, **(environment or {})},
            )
        self.pid = self._process.pid

    def check_alive(self) -> None:
        """Return if it runs.

        Raises:
            UnavailableError: it ended; gives its last words.
        """
        if self._process.poll() is not None:
            words = self.log.read_text("utf-8", "replace").strip().splitlines()
            raise UnavailableError(f"{self.name} ended: {words[-1] if words else 'silently'}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # A program of somebody else's that does not end by itself is not what is measured.
        with self._process, suppress(subprocess.TimeoutExpired):
            end(self._process, seconds=_STOP_SECONDS)


class Program(Process):
    """Answers one JSON line on stdout to each JSON line on stdin."""

    answers = True

    def ask(self, **question: object) -> dict[str, Any]:
        """Wait for the answer.

        Raises:
            UnavailableError: it ended instead.
        """
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise UnavailableError(f"{self.name} has no pipes")
        stdin.write(json.dumps(question).encode() + b"\n")
        stdin.flush()
        line = stdout.readline()
        if not line:
            self._process.wait(_STOP_SECONDS)
            self.check_alive()
        answer: dict[str, Any] = json.loads(line)
        return answer


class HttpServer(Process):
    """An embeddings server on a port of 127.0.0.1."""

    def __init__(
        self,
        name: str,
        command: Callable[[int], Sequence[str]],
        *,
        model: str,
        path: str = "/v1/embeddings",
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.port = free_port()
        self.model = model
        self.url = f"http://127.0.0.1:{self.port}{path}"
        super().__init__(name, command(self.port), environment)

    def body(self, inputs: str | Sequence[str]) -> bytes:
        """The body of a request."""
        return json.dumps({"model": self.model, "input": inputs}).encode()

    def wait_until_ready(self, headers: Mapping[str, str] | None = None) -> float:
        """Ask until it answers with vectors; the seconds since this call.

        Raises:
            UnavailableError: it ended, or took too long.
        """
        started = time.monotonic()
        while time.monotonic() - started < _START_SECONDS:
            self.check_alive()
            try:
                self.embed(["ready?"], headers)
            except (OSError, urllib.error.HTTPError):
                time.sleep(0.1)
            else:
                return time.monotonic() - started
        raise UnavailableError(f"{self.name} was not ready after {_START_SECONDS} seconds")

    def embed(
        self, texts: Sequence[str], headers: Mapping[str, str] | None = None
    ) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Vectors of a few texts, as floats."""
        sent = {
            **(headers or {}),
            "content-type": "application/json",
            "accept-encoding": "identity",
        }
        request = urllib.request.Request(self.url, self.body(texts), sent)  # noqa: S310 - this machine
        with urllib.request.urlopen(request, timeout=_ANSWER_SECONDS) as response:  # noqa: S310
            data = json.loads(response.read())["data"]
        return np.array([item["embedding"] for item in data], dtype=np.float32)


def program_path(name: str) -> Path:
    """A program that runs in another environment, so by its path."""
    return Path(__file__).parent / "programs" / f"{name}.py"
