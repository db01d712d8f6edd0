from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping

import pytest
from starlette.testclient import TestClient

from engine.engine import Engine
from engine.errors import BackendError, OverloadedError
from engine.testing import fake_engine
from engine.types import Batch
from functions.app import create_app
from functions.metrics import Metrics
from functions.model_metrics import certified_cosine
from functions.models import ModelRegistry, ServedModel
from functions.settings import Settings
from tests.engine.certificates import agreement, certify

BODY = {"model": "fake-model", "input": ["the cat", "sat"]}


def _values(client: TestClient, name: str, **labels: str) -> list[float]:
    """The values of one metric whose samples have these labels, and maybe others."""
    wanted = [f'{label}="{value}"' for label, value in labels.items()]
    return [
        float(line.split()[-1])
        for line in client.get("/metrics").text.splitlines()
        if line.startswith((f"{name}{{", f"{name} ")) and all(pair in line for pair in wanted)
    ]


def _value(client: TestClient, name: str, **labels: str) -> float:
    (value,) = _values(client, name, **labels)
    return value


def test_requests_are_counted_by_route_method_and_status(client: TestClient) -> None:
    client.post("/v1/embeddings", json=BODY)
    client.post("/v1/embeddings", json={})
    client.get("/v1/models/fake-model")
    embeddings = {"route": "/v1/embeddings", "method": "POST"}
    name = "embellama_requests_total"
    assert _value(client, name, status="200", **embeddings) == 1
    assert _value(client, name, status="400", **embeddings) == 1
    assert _value(client, name, route="/v1/models/{model_id:path}", status="200") == 1
    seconds = "embellama_request_duration_seconds_count"
    assert _value(client, seconds, route="/v1/embeddings") == 2


def test_no_client_can_make_up_a_label(client: TestClient) -> None:
    client.request("SECRET", "/secret")
    client.request("SECRET", "/v1/models")
    client.post("/v1/embeddings", json={"model": "secret", "input": "a"})
    text = client.get("/metrics").text
    assert "secret" not in text.lower()
    assert _value(client, "embellama_requests_total", route="unmatched", method="other") == 1


def test_inputs_and_tokens_are_what_usage_says(client: TestClient) -> None:
    usage = client.post("/v1/embeddings", json=BODY).json()["usage"]
    assert _value(client, "embellama_tokens_total", model="fake-model") == usage["total_tokens"]
    assert _value(client, "embellama_inputs_total", model="fake-model") == 2


def test_every_stage_is_timed(client: TestClient) -> None:
    client.post("/v1/embeddings", json=BODY)
    for stage in ("tokenize", "queue", "inference", "encode"):
        assert _value(client, "embellama_stage_duration_seconds_count", stage=stage) == 1


def test_batches_are_measured(client: TestClient) -> None:
    client.post("/v1/embeddings", json=BODY)
    labels = {"model": "fake-model"}
    assert _value(client, "embellama_batch_inputs_sum", **labels) == 2
    assert _value(client, "embellama_batch_tokens_sum", **labels) == 7
    for name in ("inputs", "tokens", "duration_seconds"):  # 4 and 3 tokens: too unlike to pad
        assert _value(client, f"embellama_batch_{name}_count", **labels) == 2


def test_batches_are_measured_after_a_reload_too() -> None:
    model = ServedModel(None)
    client = TestClient(create_app(Settings(), ModelRegistry([model])))
    model.load(fake_engine)
    try:
        for reloads in range(3):
            if reloads:
                model.reload()
            assert client.post("/v1/embeddings", json=BODY).status_code == 200
            assert _value(client, "embellama_batch_inputs_sum", model="fake-model") == 2 * (
                reloads + 1
            )
    finally:
        model.close()


@pytest.mark.parametrize(
    ("method", "path", "body", "code"),
    [
        ("POST", "/v1/embeddings", {}, "invalid_request"),
        ("POST", "/v1/embeddings", {"model": "x", "input": "a"}, "model_not_found"),
        ("POST", "/v1/none", {}, "not_found"),
        ("DELETE", "/v1/models", None, "method_not_allowed"),
    ],
)
def test_errors_are_counted_by_code(
    method: str, path: str, body: Mapping[str, str] | None, code: str, client: TestClient
) -> None:
    client.request(method, path, json=body)
    assert _value(client, "embellama_errors_total", code=code) == 1


def test_a_failure_of_the_server_is_an_internal_error() -> None:
    def fail(_: Batch) -> None:
        raise BackendError("The runtime failed.")

    with fake_engine(before_run=fail) as engine:
        client = TestClient(create_app(Settings(), engine))
        assert client.post("/v1/embeddings", json=BODY).status_code == 500
        assert _value(client, "embellama_errors_total", code="internal_error") == 1


def test_refusals_are_shown_from_the_start_and_counted() -> None:
    def refuse(_: Batch) -> None:
        raise OverloadedError("The queue is full.", retry_after_seconds=1)

    with fake_engine(before_run=refuse) as engine:
        client = TestClient(create_app(Settings(), engine))
        name = "embellama_refusals_total"
        assert _value(client, name, reason="overloaded") == 0
        assert client.post("/v1/embeddings", json=BODY).status_code == 429
        assert _value(client, name, reason="overloaded") == 1
        assert _value(client, name, reason="rate_limit_exceeded") == 0


def test_what_waits_and_runs_is_read_at_the_scrape() -> None:
    """Scraped in the middle of a run: one request is in flight, and its batch runs."""
    seen: dict[str, float] = {}

    def scrape(_: Batch) -> None:
        text = metrics.expose("")[0].decode()
        for line in text.splitlines():
            if not line.startswith("#"):
                name, _space, value = line.rpartition(" ")
                seen[name] = float(value)

    with fake_engine(before_run=scrape) as engine:
        models = ModelRegistry.of(engine)
        metrics = Metrics(models)
        metrics.begin({"type": "http", "method": "POST", "path": "/v1/embeddings"})
        engine.embed("the cat")
    assert seen["embellama_requests_in_flight"] == 1
    assert seen['embellama_running_batches{model="fake-model"}'] == 1
    for queue in ("requests", "inputs", "tokens"):
        assert seen[f'embellama_queue_{queue}{{model="fake-model"}}'] == 0


def test_the_limit_of_the_queue_stands_beside_what_waits(client: TestClient) -> None:
    assert _value(client, "embellama_queue_limit_tokens", model="fake-model") == 1_200_000


def test_nothing_is_in_flight_between_requests(client: TestClient) -> None:
    client.post("/v1/embeddings", json=BODY)
    assert _value(client, "embellama_requests_in_flight") == 0


def test_the_engine_that_runs_is_named(client: TestClient) -> None:
    labels = {
        "model": "fake-model",
        "engine": "fake",
        "precision": "fp32",
        "device": "cpu",
        "space": "f" * 32,
    }
    assert _value(client, "embellama_model_info", **labels) == 1
    assert _values(client, "embellama_certificate_min_cosine") == []


def test_a_server_that_is_not_ready_says_so_and_no_more() -> None:
    client = TestClient(create_app(Settings(), ModelRegistry([ServedModel(None)])))
    assert _value(client, "embellama_ready") == 0
    assert _values(client, "embellama_model_info") == []


def test_a_ready_server_says_so(client: TestClient) -> None:
    assert _value(client, "embellama_ready") == 1


def test_the_certificate_of_the_file_that_runs_counts(engine: Engine) -> None:
    assert certified_cosine(engine) is None
    certify(
        engine,
        agreement(backend="fake", min_cosine=0.99999),
        agreement(backend="gguf", min_cosine=0.5),
    )
    assert certified_cosine(engine) == 0.99999
    client = TestClient(create_app(Settings(), engine))
    assert _value(client, "embellama_certificate_min_cosine", model="fake-model") == 0.99999


def test_the_certificate_of_bf16_is_that_of_the_fp32_file_on_openvino(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenVINO computes what is stored as fp32 in bf16."""
    monkeypatch.setattr(engine.backend, "name", "openvino")
    monkeypatch.setattr(engine.backend, "precision", "bf16")
    certify(
        engine,
        agreement(backend="openvino", min_cosine=0.99995),
        agreement(backend="onnx", min_cosine=1.0),
    )
    assert certified_cosine(engine) == 0.99995


def test_the_process_is_measured_too(client: TestClient) -> None:
    assert _value(client, "process_resident_memory_bytes") > 0


def test_openmetrics_is_given_to_who_accepts_it(client: TestClient) -> None:
    answer = client.get(
        "/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"}
    )
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")
    assert client.get("/metrics").headers["content-type"].startswith("text/plain; version=0.0.4")


def test_two_applications_count_apart(engine: Engine, client: TestClient) -> None:
    other = TestClient(create_app(Settings(), engine))
    client.get("/v1/models")
    assert _values(other, "embellama_requests_total", route="/v1/models") == []


def test_promtool_finds_nothing_to_complain_about(client: TestClient) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed: the metrics' names and format were not checked")
    client.post("/v1/embeddings", json=BODY)
    client.post("/v1/embeddings", json={})
    text = client.get("/metrics").content
    result = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True)
    assert (result.stdout + result.stderr).decode() == ""
    assert result.returncode == 0
