from __future__ import annotations

import importlib.metadata
import platform
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from starlette.testclient import TestClient

from engine import Engine, EngineConfig
from engine.backends.fake import FakeBackend
from engine.config import BackendChoice
from engine.errors import BackendError, CertificateError
from engine.testing import fake_engine
from engine.types import Batch
from functions.app import create_app
from functions.models import ModelRegistry, ServedModel
from functions.routes.health import RUNTIME_PACKAGES
from functions.settings import Settings
from tests.engine.making import PATIENCE_SECONDS, Gate

BODY = {"model": "fake-model", "input": "the cat"}
INSTANT = EngineConfig(hung_run_seconds=1e-9)
"""A run hangs from its first moment on."""
TOLD = re.compile(r"A run of the model hangs: it has taken \S+ s, and may take \S+ s\.")


def _client(registry: ModelRegistry) -> TestClient:
    return TestClient(create_app(Settings(), registry))


def test_the_report_names_status_model_engine_and_versions(client: TestClient) -> None:
    report = client.get("/health").json()
    engine = {"name": "fake", "device": "cpu", "precision": "fp32", "version": None}
    assert (report["status"], report["model"], report["engine"]) == ("ready", "fake-model", engine)
    assert report["models"] == [{"model": "fake-model", "status": "ready", "engine": engine}]
    assert report["versions"]["python"] == platform.python_version()
    assert set(report["versions"]) == {"embellama", "python"}


def test_every_backend_has_the_version_of_its_runtime() -> None:
    assert set(RUNTIME_PACKAGES) == set(BackendChoice) - {BackendChoice.AUTO}
    for backend in ("onnx", "gguf"):  # installed here
        with fake_engine(backend=_named(backend)) as engine:
            (report,) = _client(ModelRegistry.of(engine)).get("/health").json()["models"]
        found = [version for name in RUNTIME_PACKAGES[backend] if (version := _installed(name))]
        assert [report["engine"]["version"]] == found


def _named(name: str) -> FakeBackend:
    backend = FakeBackend()
    backend.name = name
    return backend


def _installed(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def test_a_loaded_server_is_live_and_ready(client: TestClient) -> None:
    assert client.get("/health/live").json() == {"status": "live"}
    assert client.get("/health/ready").json() == {"status": "ready"}


def test_while_loading_it_is_live_but_not_ready() -> None:
    client = _client(ModelRegistry([ServedModel(None)]))
    assert client.get("/health/live").status_code == 200
    ready = client.get("/health/ready")
    assert ready.status_code == 503
    assert ready.json()["error"]["code"] == "not_ready"
    assert ready.headers["retry-after"] == "2"
    assert client.get("/health").json()["status"] == "loading"


def test_a_failed_check_of_the_vectors_is_told() -> None:
    def fail() -> Engine:
        raise CertificateError("The cosine is 0.5.")

    model = ServedModel("m")
    model.load(fail)
    client = _client(ModelRegistry([model]))
    told = "The model is not served: its vectors are not the certified ones."
    assert client.get("/health/ready").json()["error"]["message"] == told
    (report,) = client.get("/health").json()["models"]
    assert report["status"] == "failed"
    assert report["reason"] == told


def test_while_draining_it_is_not_ready(engine: Engine) -> None:
    registry = ModelRegistry.of(engine)
    registry.drain()
    client = _client(registry)
    assert client.get("/health/ready").json()["error"]["code"] == "shutting_down"
    assert client.get("/health/live").status_code == 200
    assert client.get("/health").json()["status"] == "draining"


def test_a_backend_that_keeps_failing_is_not_ready_until_a_run_succeeds() -> None:
    tried = threading.Event()
    broken = True

    def fail_while_broken(_: Batch) -> None:
        tried.set()
        if broken:
            raise BackendError("broken")

    config = EngineConfig(breaker_failures=1, breaker_pause_seconds=1e-6)
    with fake_engine(before_run=fail_while_broken, config=config) as engine:
        client = _client(ModelRegistry.of(engine))
        body = {"model": "fake-model", "input": ["the cat", "a dog"]}
        failed = client.post("/v1/embeddings", json=body)
        assert failed.status_code == 500
        assert failed.json()["error"]["param"] == "input[0]"
        tried.clear()
        broken = False
        assert client.get("/health/ready").status_code == 503  # tries it
        assert tried.wait(20)
        assert client.post("/v1/embeddings", json=body).status_code == 200
        assert client.get("/health/ready").status_code == 200


def test_a_backend_in_its_pause_is_not_ready() -> None:
    config = EngineConfig(breaker_failures=1, breaker_pause_seconds=3600)

    def fail(_: Batch) -> None:
        raise BackendError("broken")

    with fake_engine(before_run=fail, config=config) as engine:
        client = _client(ModelRegistry.of(engine))
        body = {"model": "fake-model", "input": "the cat"}
        assert client.post("/v1/embeddings", json=body).status_code == 500
        for answer in (client.post("/v1/embeddings", json=body), client.get("/health/ready")):
            assert answer.status_code == 503
            assert answer.json()["error"]["code"] == "not_ready"
            assert int(answer.headers["retry-after"]) > 3500
        assert client.get("/health/live").status_code == 200


def test_a_backend_in_its_pause_is_reported_as_failing() -> None:
    """By /health with the reason, and by the metric."""
    config = EngineConfig(breaker_failures=1, breaker_pause_seconds=3600)

    def fail(_: Batch) -> None:
        raise BackendError("broken")

    with fake_engine(before_run=fail, config=config) as engine:
        client = _client(ModelRegistry.of(engine))
        client.post("/v1/embeddings", json=BODY)
        report = client.get("/health").json()
        assert (report["status"], report["models"][0]["status"]) == ("failing", "failing")
        assert "given a pause" in report["models"][0]["reason"]
        assert report["engine"]["name"] == "fake"
        assert "\nembellama_ready 0.0\n" in client.get("/metrics").text


@contextmanager
def _hanging(gate: Gate, *, concurrency: int = 1) -> Iterator[TestClient]:
    """A server in which one run hangs until the gate opens."""
    backend = FakeBackend(concurrency=concurrency, before_run=gate)
    with (
        fake_engine(backend=backend, config=INSTANT) as engine,
        ThreadPoolExecutor(1) as pool,
    ):
        client = _client(ModelRegistry.of(engine))
        waiting = pool.submit(client.post, "/v1/embeddings", json=BODY)
        assert gate.arrived.wait(PATIENCE_SECONDS)
        try:
            yield client
        finally:
            gate.open()
            assert waiting.result().status_code == 200


def test_a_backend_that_hangs_is_not_ready_and_says_why() -> None:
    """To probes, to people, to operators and to Prometheus."""
    with _hanging(Gate()) as client:
        ready = client.get("/health/ready")
        assert (ready.status_code, ready.json()["error"]["code"]) == (503, "not_ready")
        assert TOLD.fullmatch(ready.json()["error"]["message"])
        assert ready.headers["retry-after"] == "10"
        report = client.get("/health").json()
        assert report["status"] == "failing"
        assert TOLD.fullmatch(report["models"][0]["reason"])
        metrics = client.get("/metrics").text
        assert "\nembellama_ready 0.0\n" in metrics
        assert '\nembellama_hung_runs{model="fake-model"} 1.0\n' in metrics


def test_while_nothing_would_be_computed_requests_are_refused() -> None:
    """At once, not at their deadline."""
    with _hanging(Gate()) as client:
        refused = client.post("/v1/embeddings", json=BODY)
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "not_ready")
        assert TOLD.fullmatch(refused.json()["error"]["message"])
        assert refused.headers["retry-after-ms"] == "10000"


def test_while_another_thread_computes_requests_are_served() -> None:
    """But no balancer should send any: the server is not ready."""
    gate = Gate()
    with _hanging(gate, concurrency=2) as client:
        gate.let_pass()
        assert client.post("/v1/embeddings", json=BODY).status_code == 200
        assert client.get("/health/ready").status_code == 503
        assert client.get("/health/live").status_code == 200


def test_a_backend_that_comes_back_is_ready_at_once() -> None:
    gate = Gate()
    with _hanging(gate) as client:
        pass
    assert client.get("/health/ready").status_code == 200
    assert client.get("/health").json()["status"] == "ready"
    assert client.get("/health/live").status_code == 200
    assert '\nembellama_hung_runs{model="fake-model"} 0.0\n' in client.get("/metrics").text


def test_a_backend_that_never_came_back_is_not_live() -> None:
    """As only a restart helps; five times the bound are long over."""
    with _hanging(Gate()) as client:
        live = client.get("/health/live")
        assert (live.status_code, live.json()["error"]["code"]) == (503, "not_ready")
        told = "All that computes hangs, for so long that only a restart helps."
        assert live.json()["error"]["message"] == told
