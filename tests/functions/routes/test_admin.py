from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
import structlog
from starlette.testclient import TestClient

from engine.engine import Engine
from engine.errors import SourceError
from engine.testing import fake_engine
from functions.app import create_app
from functions.models import ModelRegistry, ServedModel
from functions.observability import get_logger, log_level, set_log_level
from functions.settings import Settings

KEY = {"x-api-key": "root"}
BODY = {"model": "m", "input": "the cat"}


@pytest.fixture
def model() -> Iterator[ServedModel]:
    opened: list[Engine] = []

    def open_engine() -> Engine:
        if len(opened) == 2:
            raise SourceError("There are no files.")
        opened.append(fake_engine())
        return opened[-1]

    served = ServedModel("m", ["alias"])
    served.load(open_engine)
    yield served
    served.close()


@pytest.fixture
def registry(model: ServedModel) -> ModelRegistry:
    return ModelRegistry([model])


@pytest.fixture
def admin(registry: ModelRegistry) -> TestClient:
    settings = Settings.model_validate({"admin_key": "root", "api_key": ["sesame"], "threads": 3})
    return TestClient(create_app(settings, registry), headers=KEY)


@pytest.mark.parametrize("path", ["/admin/status", "/admin/settings"])
def test_without_an_admin_key_there_is_no_admin(path: str, client: TestClient) -> None:
    assert client.get(path, headers=KEY).status_code == 404


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/admin/status"),
        ("GET", "/admin/settings"),
        ("POST", "/admin/models/m/reload"),
        ("POST", "/admin/drain"),
        ("PUT", "/admin/log-level"),
        ("GET", "/admin/none"),
    ],
)
@pytest.mark.parametrize("key", ["", "sesame"])
def test_every_route_needs_the_admin_key(
    method: str, path: str, key: str, admin: TestClient
) -> None:
    response = admin.request(method, path, headers={"x-api-key": key})
    assert (response.status_code, response.json()["error"]["code"]) == (401, "invalid_api_key")


def test_status_tells_what_runs_and_what_waits(admin: TestClient) -> None:
    status = admin.get("/admin/status").json()
    (report,) = status.pop("models")
    assert status["status"] == "ready"
    assert status["uptime_seconds"] >= 0
    assert report["queue"]["queued_requests"] == 0
    assert {key: report[key] for key in ("name", "aliases", "engine", "device", "precision")} == {
        "name": "m",
        "aliases": ["alias"],
        "engine": "fake",
        "device": "cpu",
        "precision": "fp32",
    }


def test_status_tells_why_a_model_does_not_serve() -> None:
    registry = ModelRegistry([ServedModel("m")])
    registry.models[0].detail = "The cosine is 0.5."
    app = create_app(Settings.model_validate({"admin_key": "root"}), registry)
    (report,) = TestClient(app, headers=KEY).get("/admin/status").json()["models"]
    assert (report["status"], report["reason"]) == ("loading", "The cosine is 0.5.")


def test_settings_are_those_in_effect_without_secrets(admin: TestClient) -> None:
    response = admin.get("/admin/settings")
    assert response.json()["threads"] == 3
    assert response.json()["admin_key"] == "**********"
    assert "sesame" not in response.text
    assert "root" not in response.text


def test_a_reload_serves_from_the_new_engine(admin: TestClient, model: ServedModel) -> None:
    old = model.engine
    response = admin.post("/admin/models/alias/reload")
    assert (response.status_code, response.json()["name"]) == (200, "m")
    assert model.engine is not old
    answer = admin.post("/v1/embeddings", json=BODY, headers={"x-api-key": "sesame"})
    assert answer.status_code == 200


def test_a_reload_that_fails_says_why_and_keeps_the_old_engine(
    admin: TestClient, model: ServedModel
) -> None:
    admin.post("/admin/models/m/reload")
    old = model.engine
    response = admin.post("/admin/models/m/reload")
    assert (response.status_code, response.json()["error"]["code"]) == (409, "reload_failed")
    assert "There are no files." in response.json()["error"]["message"]
    assert model.engine is old


def test_an_unknown_model_can_not_be_reloaded(admin: TestClient) -> None:
    assert admin.post("/admin/models/none/reload").status_code == 404


def test_a_drain_ends_readiness_and_new_work_for_good(admin: TestClient) -> None:
    assert admin.post("/admin/drain").json() == {"status": "draining"}
    assert admin.get("/health/ready").status_code == 503
    assert admin.get("/health/live").status_code == 200
    refused = admin.post("/v1/embeddings", json=BODY, headers={"x-api-key": "sesame"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "shutting_down")
    assert admin.get("/admin/status").json()["status"] == "draining"


@pytest.fixture
def levels() -> Iterator[None]:
    """Put the levels of the process back."""
    root, ours = logging.getLogger().level, log_level()
    yield
    set_log_level(ours)
    structlog.reset_defaults()
    logging.getLogger().setLevel(root)


@pytest.mark.usefixtures("levels")
def test_the_log_level_can_be_changed(admin: TestClient) -> None:
    for level in ("debug", "error"):
        assert admin.put("/admin/log-level", json={"level": level}).json() == {"level": level}
        assert admin.get("/admin/status").json()["log_level"] == level
        assert admin.get("/admin/settings").json()["log_level"] == level
        expected = logging.getLevelNamesMapping()[level.upper()]
        assert get_logger().get_effective_level() == expected


@pytest.mark.parametrize("body", [b"", b"5", b"[]", b'{"level": "loud"}', b'{"level": []}', b"{}"])
def test_a_level_that_is_none_is_a_400(body: bytes, admin: TestClient) -> None:
    response = admin.put("/admin/log-level", content=body)
    assert (response.status_code, response.json()["error"]["param"]) == (400, "level")


def test_admin_is_not_in_the_public_document(admin: TestClient) -> None:
    assert "/admin" not in admin.get("/openapi.json").text


def test_a_wrong_parameter_is_refused_in_the_shape_of_all_errors(admin: TestClient) -> None:
    response = admin.post("/admin/models/fake-model/reload?allow_space_change=banana")
    assert response.status_code == 400
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["param"] == "allow_space_change"
