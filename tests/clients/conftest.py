"""A live server of the default model, as `embellama serve` starts it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from tests.docs.blocks import ROOT
from tests.functions.ports import free_port
from tests.infra.tools import until
from tests.processes import end

KEY = "a-key-of-the-tests"
CLIENTS = ROOT / "docs" / "clients"


@pytest.fixture(scope="session")
def variables(
    default_bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    """The environment of a program that is to ask the server, which wants a key."""
    with served(default_bundle, tmp_path_factory.mktemp("clients")) as variables:
        yield variables


@contextmanager
def served(bundle: Path, directory: Path, *options: str) -> Iterator[dict[str, str]]:
    """Serve with these options besides; the log is written to the directory."""
    port = free_port()
    arguments = ["--model-path", str(bundle), "--port", str(port), "--api-key", KEY, *options]
    command = [sys.executable, "-m", "functions.cli", "serve", *arguments]
    url = f"http://127.0.0.1:{port}"
    log = directory / "server.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(command, cwd=ROOT, stdout=stream, stderr=stream)
    try:
        until(lambda: _is_ready(process, url), f"the server is ready, see {log}")
        yield os.environ | {"OPENAI_BASE_URL": f"{url}/v1", "OPENAI_API_KEY": KEY}
    finally:
        end(process)


def _is_ready(process: subprocess.Popen[bytes], url: str) -> bool:
    assert process.poll() is None, "the server has ended"
    return httpx2.get(f"{url}/health/ready").status_code == 200


def written_by(command: list[str | Path], variables: dict[str, str], cwd: Path = ROOT) -> str:
    """What a program that must succeed wrote."""
    result = subprocess.run(
        command, cwd=cwd, env=variables, capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout
