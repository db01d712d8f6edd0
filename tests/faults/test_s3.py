"""S3 is gone, slow or lies while a server starts from it: what clients and operators see.

Retries, resumed and damaged downloads, and what is kept in the cache: tests/engine/sources.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from engine.golden import GoldenSet, GoldenText
from tests.engine.bundles import write_bundle
from tests.engine.sources.proxy import Answer, Proxy, proxy_to, replace_body
from tests.faults.clients import ask, code_of
from tests.functions.ports import free_port
from tests.infra.served import Served, running
from tests.infra.tools import until
from tests.soak.tally import Tally

BUCKET = "models"
MODEL = "table"
MODEL_FILE = "model.onnx"


class Store:
    """A bundle in a real S3 API, behind a proxy that does wrong what it is told to."""

    def __init__(self, proxy: Proxy, golden: tuple[GoldenText, ...], directory: Path) -> None:
        self.proxy = proxy
        self.golden = golden
        self.log = directory / "log"
        self._environment = {
            "AWS_ENDPOINT_URL": proxy.url,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": str(directory / "none"),
            "AWS_SHARED_CREDENTIALS_FILE": str(directory / "none"),
            "XDG_CACHE_HOME": str(directory / "cache"),
        }

    @contextmanager
    def serving(self, *options: str, **environment: str) -> Iterator[Served]:
        """A server that starts from there, ready or not."""
        port = free_port()
        command = [sys.executable, "-m", "functions.cli", "serve", "--port", str(port)]
        command += ["--model-path", f"s3://{BUCKET}/small", "--model-name", MODEL, *options]
        with running(command, port, self.log, self._environment | environment) as server:
            yield server


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    from boto3.session import Session
    from moto.server import ThreadedMotoServer

    bundle = tmp_path / "bundle"
    bundle.mkdir()
    write_bundle(bundle)
    moto = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    s3 = Session("testing", "testing", region_name="us-east-1").client(
        "s3", endpoint_url=f"http://{host}:{port}"
    )
    s3.create_bucket(Bucket=BUCKET)
    for path in bundle.iterdir():
        s3.put_object(Bucket=BUCKET, Key=f"small/{path.name}", Body=path.read_bytes())
    s3.close()
    golden = GoldenSet.load(bundle / "golden.json").texts
    with proxy_to(host, port) as proxy:
        yield Store(proxy, golden, tmp_path)
    moto.stop()


def test_while_it_is_slow_clients_are_told_to_come_again(store: Store, tally: Tally) -> None:
    asked, go_on = threading.Event(), threading.Event()

    def hold(answer: Answer) -> Answer:
        asked.set()
        go_on.wait(60)
        return answer

    store.proxy.faults[MODEL_FILE] = [hold]
    with store.serving() as server:
        assert asked.wait(60)
        answer = ask(server.url, MODEL, store.golden, tally)
        assert code_of(answer) == (503, "not_ready")
        go_on.set()
        until(server.is_ready, "the server is not ready")
        ask(server.url, MODEL, store.golden, tally)
    assert dict(tally.outcomes) == {"refused": 1, "right": 1}


def test_what_it_lies_about_is_not_served(store: Store, tally: Tally) -> None:
    """The process ends and says which file; the next one, told the truth, serves."""
    store.proxy.faults[MODEL_FILE] = [replace_body(lambda body: body[:-1] + b"\0")]
    with store.serving() as server:
        assert server.process.wait(60) == 1
    assert f"{MODEL_FILE} has the SHA-256" in store.log.read_text("utf-8").splitlines()[-1]
    with store.serving() as server:
        until(server.is_ready, "the server is not ready")
        ask(server.url, MODEL, store.golden, tally)
    assert tally.outcomes["right"] == 1


def test_when_it_is_gone_a_server_starts_from_what_was_fetched_before(
    store: Store, tally: Tally
) -> None:
    """Only where it is told to (--offline), as the model may have changed there."""
    with store.serving() as server:
        until(server.is_ready, "the server is not ready")
    with store.serving(AWS_ENDPOINT_URL="http://127.0.0.1:1") as server:
        assert server.process.wait(120) == 1
    assert "used with --offline" in store.log.read_text("utf-8").splitlines()[-1]
    with store.serving("--offline", AWS_ENDPOINT_URL="http://127.0.0.1:1") as server:
        until(server.is_ready, "the server is not ready")
        ask(server.url, MODEL, store.golden, tally)
    assert tally.outcomes["right"] == 1
