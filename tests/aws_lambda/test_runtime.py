"""Through the real runtime client, below the emulator, behind a gateway on a socket."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import openai
import pytest
from openai import OpenAI

from engine import Engine
from functions.app import create_app
from functions.aws.answer_size import largest_batch
from functions.aws.events import FUNCTION_RESPONSE_BYTES
from functions.platform_limits import WantedAnswer
from functions.settings import Settings
from tests.aws_lambda.emulator import Environment
from tests.aws_lambda.events import MAKERS, HttpRequest, http_api
from tests.aws_lambda.gateway import HANDLER, Gateway

FAKE = "tests.aws_lambda.fake_function.handler"
MODEL = "all-MiniLM-L6-v2"


@pytest.fixture(scope="module")
def function(default_bundle: Path) -> Iterator[Environment]:
    """The default model in an environment."""
    with Environment(HANDLER, {"EMBELLAMA_MODEL_PATH": str(default_bundle)}) as environment:
        yield environment


def _event(body: object, path: str = "/v1/embeddings") -> dict[str, Any]:
    headers = {"content-type": "application/json"}
    return http_api(HttpRequest("POST", path, headers=headers, body=json.dumps(body).encode()))


@pytest.mark.model
@pytest.mark.parametrize("kind", MAKERS)
def test_the_official_client_gets_the_engines_vectors(
    kind: str, function: Environment, default_engine: Engine
) -> None:
    texts = ["the cat sat on the mat", "naïve café 猫", "x " * 300]
    with (
        Gateway(function.invoke, kind) as gateway,
        OpenAI(base_url=f"{gateway.url}/v1", api_key="any") as client,
    ):
        answer = client.embeddings.create(model=MODEL, input=texts, extra_body={"truncate": "end"})
    expected = default_engine.embed(texts, truncate=_end())
    found = np.array([item.embedding for item in answer.data], np.float32)
    assert np.abs(found - expected.vectors).max() <= 1e-5
    assert answer.usage.prompt_tokens == expected.usage.prompt_tokens


def _end() -> Any:  # noqa: ANN401
    from engine.types import Truncate

    return Truncate.END


@pytest.mark.model
@pytest.mark.parametrize(
    "body",
    [
        {"model": MODEL, "input": "the cat"},
        {"model": MODEL, "input": ["the cat", "a dog"], "encoding_format": "base64"},
        {"model": MODEL, "input": [101, 1996, 4937, 102]},
        {"model": MODEL, "input": ""},
        {"model": "another", "input": "x"},
        {"model": MODEL, "input": "x", "nothing": 1},
        {"model": MODEL, "input": "x " * 400},
    ],
    ids=lambda body: json.dumps(body)[:60],
)
def test_the_same_body_gets_the_same_bytes_as_from_the_server(
    body: object, function: Environment, default_engine: Engine
) -> None:
    from starlette.testclient import TestClient

    server = TestClient(create_app(Settings(), default_engine))
    expected = server.post("/v1/embeddings", json=body, headers={"accept-encoding": "identity"})
    found = function.invoke(_event(body))
    assert (found["statusCode"], found["body"]) == (expected.status_code, expected.text)
    changing = {"x-request-id", "openai-processing-ms", "content-length"}
    theirs = {name: value for name, value in expected.headers.items() if name not in changing}
    ours = {name: value for name, value in found["headers"].items() if name not in changing}
    assert ours == theirs


@pytest.mark.model
def test_init_is_reported_by_phase(function: Environment) -> None:
    function.invoke({"warmup": True})
    report = function.report()
    [definition] = report["_aws"]["CloudWatchMetrics"]
    names = {metric["Name"] for metric in definition["Metrics"]}
    assert {
        "InitMilliseconds",
        "InitImportsMilliseconds",
        "InitBundleMilliseconds",
        "InitSessionMilliseconds",
        "InitWarmUpMilliseconds",
    } <= names
    assert all(report[name] >= 0 for name in names)
    assert definition["Dimensions"] == [["FunctionName"]]
    assert report["FunctionName"] == "embellama"


@pytest.mark.model
def test_nothing_is_loaded_that_is_not_used(default_bundle: Path) -> None:
    import subprocess
    import sys

    program = (
        "import sys, functions.targets.aws_lambda\n"
        "print(*sorted(set(m.split('.')[0] for m in sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program],
        env={"EMBELLAMA_MODEL_PATH": str(default_bundle), "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(result.stdout.splitlines()[-1].split())
    unwanted = {
        "boto3",
        "botocore",
        "gguf",
        "onnx",
        "safetensors",
        "huggingface_hub",
        "llama_cpp",
        "uvicorn",
        "limits",
        "yaml",
    }
    assert loaded & unwanted == set()


@pytest.mark.model
def test_200_warm_calls_do_not_grow(function: Environment) -> None:
    bodies = [_event({"model": MODEL, "input": [f"cat {n} " * (1 + n % 50)]}) for n in range(50)]
    for body in bodies:
        assert function.invoke(body)["statusCode"] == 200
    before = function.resident_bytes()
    for _ in range(4):
        for body in bodies:
            assert function.invoke(body)["statusCode"] == 200
    assert function.resident_bytes() - before <= 8 * 1024 * 1024


@pytest.mark.model
def test_a_corrupt_bundle_ends_init_with_a_clear_line(default_bundle: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    for file in default_bundle.iterdir():
        if file.name == "model.onnx":
            content = bytearray(file.read_bytes())
            content[100] ^= 1
            (bundle / file.name).write_bytes(content)
        elif file.name.startswith("manifest"):
            shutil.copy(file, bundle)
        else:
            (bundle / file.name).symlink_to(file)
    with Environment(HANDLER, {"EMBELLAMA_MODEL_PATH": str(bundle)}) as environment:
        answer = environment.invoke({"warmup": True})
        assert answer != {"status": "warm"}
        failures = [line for line in environment.close() if "init failed" in line]
    assert len(failures) == 1
    failure = json.loads(failures[0][failures[0].index("{") :])
    assert failure["error"] == "IntegrityError"
    assert "model.onnx has the SHA-256" in failure["reason"]


def test_a_missing_bundle_ends_init_with_a_clear_line(tmp_path: Path) -> None:
    with Environment(HANDLER, {"LAMBDA_TASK_ROOT": str(tmp_path)}) as environment:
        environment.invoke({"warmup": True})
        lines = environment.close()
    assert any("init failed" in line and "A bundle is a directory" in line for line in lines)


def test_the_process_survives_answers_at_the_limit() -> None:
    dimensions = 4096
    wanted = WantedAnswer(1, dimensions, "base64")
    most = largest_batch(wanted, FUNCTION_RESPONSE_BYTES)
    with (
        Environment(FAKE, {"FAKE_DIMENSIONS": str(dimensions)}) as environment,
        Gateway(environment.invoke) as gateway,
        OpenAI(base_url=f"{gateway.url}/v1", api_key="any", max_retries=0) as client,
    ):
        pid_lines = len([line for line in environment.lines() if "initialized" in line])
        answer = client.embeddings.create(model="fake-model", input=["cat"] * most)
        assert len(answer.data) == most
        with pytest.raises(openai.APIStatusError) as refused:
            client.embeddings.create(model="fake-model", input=["cat"] * (most + 1))
        assert refused.value.status_code == 413
        assert refused.value.code == "response_too_large"
        again = client.embeddings.create(model="fake-model", input="cat")
        assert len(again.data) == 1
        starts = len([line for line in environment.lines() if '"event":"initialized"' in line])
    assert starts - pid_lines == 1


@pytest.mark.model
def test_too_little_time_is_one_clear_answer(default_bundle: Path) -> None:
    variables = {"EMBELLAMA_MODEL_PATH": str(default_bundle)}
    with Environment(HANDLER, variables, timeout_seconds=3) as environment:
        environment.invoke({"warmup": True})
        texts = [f"{n} " + "word " * 200 for n in range(1000)]
        answer = environment.invoke(_event({"model": MODEL, "input": texts}))
        assert answer["statusCode"] == 504
        error = json.loads(answer["body"])["error"]
        assert error["code"] == "deadline_exceeded"
        assert "inputs fit" in error["message"]
        small = environment.invoke(_event({"model": MODEL, "input": "the cat"}))
        assert small["statusCode"] == 200


@pytest.mark.parametrize(
    "event", [{}, {"Records": []}, {"version": "2.0", "requestContext": {"http": {}}}], ids=str
)
def test_a_bad_event_is_one_clear_answer(event: object) -> None:
    with Environment(FAKE, {}) as environment:
        answer = environment.invoke(event)
        assert answer["statusCode"] == 400
        assert set(json.loads(answer["body"])["error"]) == {"message", "type", "param", "code"}


def test_docs_and_stage_over_http() -> None:
    with Environment(FAKE, {}) as environment, Gateway(environment.invoke, stage="prod") as gateway:
        document = httpx2.get(f"{gateway.url}/openapi.json").json()
        assert document["servers"] == [{"url": "/prod"}]
        assert httpx2.get(f"{gateway.url}/docs").status_code == 200
        assert httpx2.get(f"{gateway.url}/v1/models").status_code == 200


def test_head_and_the_base_url_are_as_the_server_has_them() -> None:
    """The scheme is the gateway's own, whatever a client says of it."""
    with Environment(FAKE, {}) as environment:
        for kind in MAKERS:
            stage = "prod" if kind == "rest_api" else "$default"  # Those always have one.
            with Gateway(environment.invoke, kind, stage=stage) as gateway:
                root = httpx2.get(f"{gateway.url}/", headers={"X-Forwarded-Proto": "https"})
                assert root.json()["base_url"] == f"{gateway.url}/v1"
                wrong = httpx2.get(f"{gateway.url}/v2").json()["error"]["message"]
                assert f" {gateway.url}/v1;" in wrong
                lengths = [
                    httpx2.request(method, f"{gateway.url}/v1/models").headers["content-length"]
                    for method in ("GET", "HEAD")
                ]
                assert lengths[0] == lengths[1] != "0"
