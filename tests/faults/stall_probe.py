"""Asks `/health/live` all the time, on one connection, and tells when each answer came.

As a program: `python -m tests.faults.stall_probe PORT`; it ends with its input, and writes the
times as JSON. A process of its own, as a client that sends would hold up the probe.
"""

from __future__ import annotations

import json
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.infra.tools import ROOT

PAUSE_SECONDS = 0.005
_REQUEST = b"GET /health/live HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n"


@dataclass(slots=True)
class Answers:
    """When answers came, as `time.monotonic` of this machine tells it."""

    times: list[float] = field(default_factory=list)

    def longest_gap(self, start: float, end: float) -> float:
        """Seconds of the longest time between two answers of which a part lies in this time."""
        gaps = [
            after - before
            for before, after in zip(self.times, self.times[1:], strict=False)
            if after > start and before < end
        ]
        return max(gaps)


@contextmanager
def probing(port: int) -> Iterator[Answers]:
    """Probe as long as the block runs; then the answers are there."""
    command = [sys.executable, "-m", "tests.faults.stall_probe", str(port)]
    answers = Answers()
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as probe:
        assert probe.stdout is not None
        try:
            assert probe.stdout.readline() == "probing\n"
            yield answers
        finally:
            written, _ = probe.communicate(timeout=60)
        answers.times += json.loads(written)


def main() -> None:
    times: list[float] = []
    with socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=60) as connection:
        while not select.select([sys.stdin], [], [], PAUSE_SECONDS if times else 0)[0]:
            connection.sendall(_REQUEST)
            answer = b""
            while b"\r\n\r\n" not in answer or not answer.endswith(b"}"):
                answer += connection.recv(65536)
            times.append(time.monotonic())
            if len(times) == 1:
                print("probing", flush=True)
    print(json.dumps(times))


if __name__ == "__main__":
    main()
