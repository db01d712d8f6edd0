from __future__ import annotations

import platform
import threading

from starlette.testclient import TestClient

from engine import Engine, EngineConfig
from engine.errors import BackendError, CertificateError
from engine.testing import fake_engine
from engine.types import Batch
from functions.app import create_app
from functions.models import ModelRegistry, ServedModel
from functions.settings import Settings


def _client(registry: ModelRegistry) -> TestClient:
    return TestClient(create_app(Settings(), registry))


def test_the_report_names_status_model_engine_and_versions(client: TestClient) -> None:
    report = client.get("/health").json()
    engine = {"name": "fake", "device": "cpu", "precision": "fp32", "version": None}
    assert (report["status"], report["model"], report["engine"]) == ("ready", "fake-model", engine)
    assert report["models"] == [{"model": "fake-model", "status": "ready", "engine": engine}]
    assert report["versions"]["python"] == platform.python_version()
    assert set(report["versions"]) == {"embellama", "python"}


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
