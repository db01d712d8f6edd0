"""SIGTERM and SIGKILL under load, at the real server with a real, tiny model."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from engine.golden import GoldenSet, GoldenText
from tests.engine.bundles import write_bundle
from tests.faults.clients import Load
from tests.functions.ports import free_port
from tests.infra.served import Served, running
from tests.infra.tools import until
from tests.soak.tally import Tally

MODEL = "table"
ENOUGH = 50


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    directory = tmp_path / "bundle"
    directory.mkdir()
    return write_bundle(directory)


@pytest.fixture
def golden(bundle: Path) -> tuple[GoldenText, ...]:
    return GoldenSet.load(bundle / "golden.json").texts


@contextmanager
def serving(bundle: Path, port: int) -> Iterator[Served]:
    """`embellama serve`, ready."""
    command = [sys.executable, "-m", "functions.cli", "serve", "--model-path", str(bundle)]
    command += ["--port", str(port), "--log-format", "json"]
    with running(command, port, bundle.with_suffix(".log")) as server:
        until(server.is_ready, "the server is not ready")
        yield server


def test_sigterm_under_load_loses_no_request_that_was_taken(
    bundle: Path, golden: tuple[GoldenText, ...], tally: Tally
) -> None:
    """Each is answered right or told to come again; the next server goes on where it ended."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with Load(url, MODEL, golden, tally) as load:
        with serving(bundle, port) as first:
            until(lambda: load.count("right") > ENOUGH, "nobody is answered")
            first.process.send_signal(signal.SIGTERM)
            assert first.process.wait(60) == 0
        answered = load.count("right")
        with serving(bundle, port):
            until(lambda: load.count("right") > answered + ENOUGH, "nobody is answered again")
            load.end()
    assert load.count("failed") == 0
    log = bundle.with_suffix(".log").read_text("utf-8")
    assert '"status":500' not in log


def test_sigkill_under_load_leaves_no_wrong_answer_and_a_restart_is_all_it_needs(
    bundle: Path, golden: tuple[GoldenText, ...], tally: Tally
) -> None:
    """Clients see a broken connection, never half an answer; nobody cleans anything up."""
    port = free_port()
    with Load(f"http://127.0.0.1:{port}", MODEL, golden, tally) as load:
        with serving(bundle, port) as first:
            until(lambda: load.count("right") > ENOUGH, "nobody is answered")
            first.process.kill()
            assert first.process.wait(60) == -signal.SIGKILL
            answered = load.count("right")
            until(lambda: load.count("unanswered") > 0, "nobody notices")
        with serving(bundle, port):
            until(lambda: load.count("right") > answered + ENOUGH, "nobody is answered again")
            load.end()
    assert load.count("failed") == 0


def test_a_server_that_was_stopped_and_goes_on_answers_what_has_waited(
    bundle: Path, golden: tuple[GoldenText, ...], tally: Tally
) -> None:
    """As when a machine sleeps or a container is frozen."""
    port = free_port()
    with serving(bundle, port) as server, Load(server.url, MODEL, golden, tally) as load:
        until(lambda: load.count("right") > ENOUGH, "nobody is answered")
        server.process.send_signal(signal.SIGSTOP)
        with pytest.raises(httpx2.TimeoutException):
            httpx2.get(f"{server.url}/health/live", timeout=0.5)
        server.process.send_signal(signal.SIGCONT)
        answered = load.count("right")
        until(lambda: load.count("right") > answered + ENOUGH, "nobody is answered again")
        load.end()
        assert (load.count("failed"), load.count("unanswered")) == (0, 0)
