"""The real runtime: awslambdaric below AWS's Runtime Interface Emulator, one environment each."""

from __future__ import annotations

import http.client
import json
import os
import platform
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from tests.contract.environments import ROOT, python_environment
from tests.functions.ports import free_ports
from tests.processes import end

INVOKE = "/2015-03-31/functions/function/invocations"
_PATIENCE_SECONDS = 120


def emulator_path() -> Path:
    """The emulator's binary, which the package aws-sam-cli brings; skips the test without it."""
    python = python_environment("lambda-emulator")
    machine = {"aarch64": "arm64"}.get(platform.machine(), platform.machine())
    [binary] = python.parent.parent.glob(f"lib/python*/site-packages/samcli/*/*/*-rie-{machine}")
    binary.chmod(0o755)
    return binary


class Environment:
    """One execution environment. Like AWS, it takes one event at a time."""

    def __init__(
        self,
        handler: str,
        variables: Mapping[str, str],
        *,
        memory_megabytes: int = 1769,
        timeout_seconds: int = 60,
        command: list[str] | None = None,
    ) -> None:
        ports = free_ports(2)
        self._port = ports[0]
        self._lock = threading.Lock()
        self._output: list[str] = []
        self.process = subprocess.Popen(
            [
                str(emulator_path()),
                "--runtime-interface-emulator-address",
                f"127.0.0.1:{ports[0]}",
                "--runtime-api-address",
                f"127.0.0.1:{ports[1]}",
                *(command or [sys.executable, "-m", "awslambdaric"]),
                handler,
            ],
            cwd=ROOT,
            env=_variables(memory_megabytes, timeout_seconds) | dict(variables),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._wait_until_listening()

    def invoke(self, event: object) -> Any:  # noqa: ANN401 - whatever a function returns
        """Send one event; what the function returned, or the emulator's report of a failure."""
        content = json.dumps(event).encode()
        with self._lock:
            connection = http.client.HTTPConnection(
                "127.0.0.1", self._port, timeout=_PATIENCE_SECONDS
            )
            try:
                connection.request("POST", INVOKE, content)
                answer = connection.getresponse().read()
            finally:
                connection.close()
        try:
            return json.loads(answer)
        except ValueError:
            return answer.decode()

    def lines(self) -> list[str]:
        """What it has written so far."""
        return list(self._output)

    def report(self) -> dict[str, Any]:
        """The line about its start."""
        for line in self._output:
            if '"event":"initialized"' in line:
                report: dict[str, Any] = json.loads(line[line.index("{") :])
                return report
        raise AssertionError(f"never initialized: {self._output}")

    def resident_bytes(self) -> int:
        """Memory of the runtime's process."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        tree = children.read_text("ascii").split()
        for path in Path(f"/proc/{self.process.pid}/task").glob("*/children"):
            tree += path.read_text("ascii").split()
        sizes = [
            int(line.split()[1]) * 1024
            for pid in set(tree)
            for line in Path(f"/proc/{pid}/status").read_text("utf-8").splitlines()
            if line.startswith("VmRSS:")
        ]
        return max(sizes)

    def close(self) -> list[str]:
        """End it; all that it has written."""
        end(self.process)
        self._reader.join(10)
        if self.process.stdout is not None:
            self.process.stdout.close()
        return self._output

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._output.append(line.rstrip("\n"))

    def _wait_until_listening(self) -> None:
        """Connecting is retried by the kernel's answer, not by the clock."""
        while self.process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self._port), timeout=1).close()
            except OSError:
                threading.Event().wait(0.02)
            else:
                return
        raise AssertionError(f"the emulator ended: {self._output}")


def _variables(memory_megabytes: int, timeout_seconds: int) -> dict[str, str]:
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.upper().startswith(("EMBELLAMA_", "AWS_", "PYTEST_"))
    }
    return inherited | {
        "AWS_LAMBDA_FUNCTION_NAME": "embellama",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(memory_megabytes),
        "AWS_LAMBDA_FUNCTION_TIMEOUT": str(timeout_seconds),
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_EXECUTION_ENV": "AWS_Lambda_python3.12",
        "AWS_REGION": "eu-central-1",
    }
