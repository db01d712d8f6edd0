"""A bundle that is changed on disk while it is served: the default model, with mapped weights."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import numpy as np
import pytest

from engine.golden import GoldenSet, GoldenText
from tests.faults.clients import Load, ask, code_of
from tests.functions.ports import free_port
from tests.infra.served import Served, running
from tests.infra.tools import until
from tests.soak.tally import Tally

pytestmark = pytest.mark.model
MODEL = "model"
ADMIN = {"x-api-key": "root"}
WEIGHTS = "model.onnx_data"
ENOUGH = 20


@pytest.fixture
def bundle(default_bundle: Path, tmp_path: Path) -> Path:
    """A copy that may be changed."""
    return shutil.copytree(default_bundle, tmp_path / "bundle")


@pytest.fixture
def golden(bundle: Path) -> tuple[GoldenText, ...]:
    return GoldenSet.load(bundle / "golden.json").shortest(20)


def _command(bundle: Path, port: int) -> list[str]:
    return [
        *(sys.executable, "-m", "functions.cli", "serve", "--model-path", str(bundle)),
        *("--port", str(port), "--model-name", MODEL, "--admin-key", ADMIN["x-api-key"]),
        *("--breaker-failures", "3", "--breaker-pause-seconds", "0.5", "--log-format", "json"),
    ]


@contextmanager
def serving(bundle: Path) -> Iterator[Served]:
    port = free_port()
    with running(_command(bundle, port), port, bundle.with_suffix(".log")) as server:
        until(server.is_ready, "the server is not ready")
        yield server


def _reload(server: Served) -> httpx2.Response:
    url = f"{server.url}/admin/models/{MODEL}/reload"
    return httpx2.post(url, headers=ADMIN, timeout=60)


def _double_weights(path: Path) -> None:
    """Other finite numbers in place: what a copy of another model over this one does."""
    weights = np.memmap(path, dtype=np.float32, mode="r")
    changed = (np.asarray(weights) * 2).tobytes()
    del weights
    with path.open("r+b") as file:
        file.write(changed)


def test_weights_that_are_overwritten_are_never_served_and_loaded_again_when_restored(
    bundle: Path, golden: tuple[GoldenText, ...], tally: Tally, default_bundle: Path
) -> None:
    """Clients see 500, then 503; a reload of the changed files is refused."""
    with serving(bundle) as server, Load(server.url, MODEL, golden, tally) as load:
        until(lambda: load.count("right") > ENOUGH, "nobody is answered")
        _double_weights(bundle / WEIGHTS)
        until(lambda: load.count("refused") > ENOUGH, "nobody is told to come again")
        right = load.count("right")
        assert httpx2.get(f"{server.url}/health/ready").status_code == 503
        assert code_of(_reload(server)) == (409, "reload_failed")

        _restore(default_bundle, bundle)
        assert _reload(server).status_code == 200
        until(lambda: load.count("right") > right + ENOUGH, "nobody is answered again")
        load.end()
    assert (load.count("wrong"), load.count("unanswered")) == (0, 0)
    assert "was changed while it was in use" in bundle.with_suffix(".log").read_text("utf-8")


def test_files_that_are_replaced_by_renaming_change_nothing_until_a_reload(
    bundle: Path, golden: tuple[GoldenText, ...], tally: Tally
) -> None:
    """And what the reload finds must be what the manifest says."""
    with serving(bundle) as server, Load(server.url, MODEL, golden, tally) as load:
        until(lambda: load.count("right") > ENOUGH, "nobody is answered")
        shutil.copy(bundle / WEIGHTS, bundle / "new")
        _double_weights(bundle / "new")
        (bundle / "new").rename(bundle / WEIGHTS)
        right = load.count("right")
        until(lambda: load.count("right") > right + ENOUGH, "nobody is answered any more")
        assert code_of(_reload(server)) == (409, "reload_failed")
        load.end()
    assert set(tally.outcomes) == {"right"}


def test_weights_that_are_cut_short_end_the_process_and_are_not_served_by_the_next(
    bundle: Path, golden: tuple[GoldenText, ...], tally: Tally, default_bundle: Path
) -> None:
    """The runtime reads what is no longer there (SIGBUS), or notices; no vector comes of it."""
    with serving(bundle) as server:
        ask(server.url, MODEL, golden, tally)
        with (bundle / WEIGHTS).open("r+b") as file:
            file.truncate(1000)
        with Load(server.url, MODEL, golden, tally) as load:
            until(
                lambda: load.count("unanswered") + load.count("failed") > ENOUGH, "nobody notices"
            )
            load.end()
        assert load.count("right") == 0
    port = free_port()
    with running(_command(bundle, port), port, bundle.with_suffix(".log")) as next_one:
        assert next_one.process.wait(60) == 1
    _restore(default_bundle, bundle)
    with serving(bundle) as server:
        ask(server.url, MODEL, golden, tally)
    assert tally.outcomes["right"] == 2


def _restore(default_bundle: Path, bundle: Path) -> None:
    """Put the right weights in their place by renaming: a copy over them would cut them first."""
    restored = bundle / "restored"
    shutil.copy(default_bundle / WEIGHTS, restored)
    restored.replace(bundle / WEIGHTS)
