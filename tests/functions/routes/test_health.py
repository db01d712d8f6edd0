from __future__ import annotations

import platform

from starlette.testclient import TestClient

from engine.engine import Engine
from engine.errors import CertificateError
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
