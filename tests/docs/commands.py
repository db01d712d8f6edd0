"""Runs the blocks of one document, one after the other, as its reader would."""

from __future__ import annotations

import re
import signal
import ssl
import subprocess
import urllib.request
from pathlib import Path
from typing import Self

from tests.docs.blocks import Block
from tests.docs.clone import Clone
from tests.functions.ports import free_port
from tests.infra.tools import until
from tests.processes import end

_SECONDS = 240
_PORT = re.compile(r"\b(8080|9000)\b")
"""The ports of the documents: the server's and the Lambda target's. Tests take free ones."""
_SERVES = re.compile(r"(make serve(-lambda)?|\.venv/bin/embellama serve)\b[^|;&]*")
_PRINTED = re.compile(r"\s*print\(.*\)  # (?P<output>.*)")


class BlockError(AssertionError):
    """A block does not do what the document says."""


class Reader:
    """Reads a document from the top to the end. Servers go on until then, or until the next."""

    def __init__(self, clone: Clone, logs: Path) -> None:
        self._clone = clone
        self._logs = logs
        self._ports = {name: str(free_port()) for name in ("8080", "9000")}
        self._servers: dict[str, subprocess.Popen[bytes]] = {}
        self._environment = clone.environment | {
            "OPENAI_BASE_URL": f"http://127.0.0.1:{self._ports['8080']}/v1"
        }

    def read(self, block: Block) -> str:
        """Do what a block says; what that wrote.

        Raises:
            BlockError: it failed.
        """
        text = self.with_ports(block.text)
        if block.language == "python":
            return self._run(["python", "-W", "error", "-c", text])
        if _SERVES.fullmatch(text.splitlines()[-1]):
            self._serve(text)
            return ""
        return self._run(["bash", "-euo", "pipefail", "-c", text])

    def with_ports(self, text: str) -> str:
        """A text with the ports that are used here."""
        return _PORT.sub(lambda match: self._ports[match[1]], text)

    def _run(self, command: list[str]) -> str:
        result = subprocess.run(
            command,
            cwd=self._clone.directory,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
        )
        if result.returncode != 0:
            raise BlockError(f"exit code {result.returncode}\n{result.stdout}{result.stderr}")
        return result.stdout

    def _serve(self, text: str) -> None:
        name = "9000" if "serve-lambda" in text else "8080"
        self._end(name)
        port = self._ports[name]
        log = self._logs / f"{port}.log"
        with log.open("ab") as stream:
            process = subprocess.Popen(
                ["bash", "-euo", "pipefail", "-c", text],
                cwd=self._clone.directory,
                env=self._environment | {"PORT": port},
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
            )
        self._servers[name] = process
        scheme = "https" if "--tls-cert" in text else "http"
        url = f"{scheme}://127.0.0.1:{port}/health/ready"
        until(lambda: _is_ready(process, url, log), f"{text} serves", _SECONDS)

    def _end(self, name: str) -> None:
        """What Ctrl-C does."""
        process = self._servers.pop(name, None)
        if process is not None:
            end(process, signal.SIGINT, seconds=_SECONDS, group=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for name in list(self._servers):
            self._end(name)


def printed_by(text: str) -> str | None:
    """What a block of Python says, in comments behind its prints, that they print."""
    found = [match["output"] for line in text.splitlines() if (match := _PRINTED.fullmatch(line))]
    return "\n".join(found) if found else None


def _is_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> bool:
    if process.poll() is not None:
        raise BlockError(f"the server has ended:\n{log.read_text('utf-8', 'replace')}")
    context = ssl._create_unverified_context()  # noqa: S323 - the block itself made the certificate
    try:
        with urllib.request.urlopen(url, context=context, timeout=5):  # noqa: S310 - see above
            return True
    except OSError:
        return False
