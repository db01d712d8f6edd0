from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import boto3
import httpx2
import pytest
from moto.server import ThreadedMotoServer

from engine import Engine
from engine.config import EngineConfig
from engine.errors import ConfigurationError
from engine.testing import fake_engine
from functions.api_keys import KeyRing
from functions.aws.api_keys import ApiKeySource, fetch_secret
from functions.aws.environment import LambdaEnvironment
from functions.aws.handler import LambdaHandler
from functions.aws.phases import Phases, process_age, write_report
from functions.aws.settings import LambdaSettings
from functions.aws.start import start
from tests.aws_lambda.conftest import Context
from tests.aws_lambda.events import HttpRequest, http_api
from tests.tiktoken_encodings import encoding_of


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("megabytes", "threads"),
    [(512, 1), (1769, 1), (2048, 1), (3008, 2), (3538, 2), (10240, 6), (100_000, 8)],
)
def test_threads_follow_the_share_of_cpus(megabytes: int, threads: int) -> None:
    environment = LambdaEnvironment.read({"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(megabytes)})
    assert environment.threads(available=8) == threads


def test_outside_of_lambda_one_cpu_is_assumed() -> None:
    environment = LambdaEnvironment.read({})
    assert (environment.cpus, environment.root) == (1.0, Path("/var/task"))


def test_the_report_is_one_line_of_the_embedded_metric_format() -> None:
    clock = Clock()
    phases = Phases({"runtime": 0.5}, clock)
    clock.now = 0.25
    phases.end("imports")
    clock.now = 0.375
    phases.end("warm_up")
    stream = StringIO()
    write_report(phases, {"FunctionName": "f"}, stream)
    [line] = stream.getvalue().splitlines()
    report = json.loads(line)
    assert report["InitRuntimeMilliseconds"] == 500.0
    assert report["InitImportsMilliseconds"] == 250.0
    assert report["InitWarmUpMilliseconds"] == 125.0
    assert report["InitMilliseconds"] == 875.0
    [definition] = report["_aws"]["CloudWatchMetrics"]
    assert {"Name": "InitMilliseconds", "Unit": "Milliseconds"} in definition["Metrics"]


def test_the_process_has_an_age() -> None:
    assert process_age() > 0


def test_keys_are_fetched_anew_when_they_are_old(tmp_path: Path) -> None:
    clock, values = Clock(), ["one:first", "two:second", "two:second"]
    fetched: list[str] = []

    def fetch(source: str) -> str:
        fetched.append(source)
        return values[len(fetched) - 1]

    keys = ApiKeySource("ssm:/k", tmp_path, refresh_seconds=60, fetch=fetch, clock=clock)
    assert keys.file.read_text() == "one:first"
    assert keys.file.stat().st_mode & 0o777 == 0o600
    clock.now = 59
    keys.refresh()
    assert len(fetched) == 1
    clock.now = 60
    keys.refresh()
    assert keys.file.read_text() == "two:second"
    clock.now = 120
    stamp = keys.file.stat().st_ino
    keys.refresh()
    assert (len(fetched), keys.file.stat().st_ino) == (3, stamp)


def test_keys_that_can_t_be_fetched_anew_stay(tmp_path: Path) -> None:
    clock, calls = Clock(), list[str]()

    def fetch(source: str) -> str:
        calls.append(source)
        if len(calls) > 1:
            raise ConfigurationError("away")
        return "secret"

    keys = ApiKeySource("ssm:/k", tmp_path, refresh_seconds=60, fetch=fetch, clock=clock)
    clock.now = 61
    keys.refresh()
    keys.refresh()
    assert len(calls) == 2
    assert keys.file.read_text() == "secret"


@pytest.fixture(scope="module")
def aws() -> Iterator[str]:
    """The URL of an AWS with SSM and Secrets Manager."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    httpx2.post(f"http://{host}:{port}/moto-api/reset").raise_for_status()
    server.stop()


@pytest.fixture
def _account(aws: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "AWS_ENDPOINT_URL": aws,
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("_account")
def test_keys_come_from_ssm_and_from_secrets_manager() -> None:
    boto3.client("ssm").put_parameter(Name="/e/keys", Value="a:b", Type="SecureString")
    boto3.client("secretsmanager").create_secret(Name="e/keys", SecretString="c:d")
    boto3.client("secretsmanager").create_secret(Name="e/bytes", SecretBinary=b"c:d")
    assert fetch_secret("ssm:/e/keys") == "a:b"
    assert fetch_secret("secretsmanager:e/keys") == "c:d"
    with pytest.raises(ConfigurationError, match="not a text"):
        fetch_secret("secretsmanager:e/bytes")
    for missing in ("ssm:/none", "secretsmanager:none"):
        with pytest.raises(ConfigurationError, match=r"NotFound.*role may read"):
            fetch_secret(missing)


def _open(settings: LambdaSettings, config: EngineConfig) -> Engine:
    assert settings.api_key_file is None or settings.api_key_file.exists()
    return fake_engine(config=config, inline=True)


@pytest.mark.usefixtures("_account")
def test_a_rotated_key_opens_and_the_old_one_does_not(tmp_path: Path) -> None:
    parameters = boto3.client("ssm")
    parameters.put_parameter(Name="/e/rotated", Value="app:old-key", Type="SecureString")
    clock = Clock()
    source = ApiKeySource("ssm:/e/rotated", tmp_path, refresh_seconds=60, clock=clock)
    ring = KeyRing(file=source.file, clock=clock)
    assert [ring.name_of(key) for key in ("old-key", "new-key")] == ["app", None]
    parameters.put_parameter(Name="/e/rotated", Value="app:new-key", Overwrite=True)
    clock.now = 61
    source.refresh()
    assert [ring.name_of(key) for key in ("old-key", "new-key")] == [None, "app"]


@pytest.mark.usefixtures("_account")
def test_the_function_wants_the_keys_of_its_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    boto3.client("ssm").put_parameter(Name="/e/start", Value="app:key", Type="SecureString")
    monkeypatch.setenv("EMBELLAMA_API_KEY_SOURCE", "ssm:/e/start")
    monkeypatch.setenv("EMBELLAMA_CACHE_DIRECTORY", str(tmp_path))
    handler = start(Phases(), {}, _open)
    try:
        assert [_status(handler, key) for key in ("key", "another")] == [200, 401]
    finally:
        handler.close()


@pytest.mark.usefixtures("_account")
def test_keys_that_can_t_be_had_end_init(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EMBELLAMA_API_KEY_SOURCE", "ssm:/e/missing")
    with pytest.raises(ConfigurationError):
        start(Phases(), {}, _open)
    assert '"event":"init failed"' in capsys.readouterr().err


def test_a_line_is_out_before_its_invocation_ends(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process is frozen then, and no thread of its own may have to go on."""
    monkeypatch.setenv("EMBELLAMA_THREADS", "1")
    handler = start(Phases(), {}, _open)
    try:
        capsys.readouterr()
        _status(handler, "")
        assert '"event":"request"' in capsys.readouterr().err
        assert "embellama-log" not in {thread.name for thread in threading.enumerate()}
    finally:
        handler.close()


def test_the_function_s_model_has_the_names_of_the_settings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("EMBELLAMA_SERVED_MODEL_NAME", "text-embedding-3-small,other")
    monkeypatch.setenv("EMBELLAMA_THREADS", "1")
    handler = start(Phases(), {}, _open)
    try:
        answer = handler(http_api(HttpRequest(path="/v1/models")), Context())
        listed = [model["id"] for model in json.loads(answer["body"])["data"]]
        assert listed == ["text-embedding-3-small", "other", "fake-model"]
    finally:
        handler.close()


def test_the_function_decodes_the_ids_of_openai_where_it_is_told_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("EMBELLAMA_TOKEN_IDS", "cl100k_base")
    monkeypatch.setenv("EMBELLAMA_THREADS", "1")
    handler = start(Phases(), {}, _open)
    try:
        ids = encoding_of("cl100k_base").encode_ordinary("the cat")
        vectors = [_vector(handler, given) for given in ("the cat", ids)]
        assert vectors[0] == vectors[1]
    finally:
        handler.close()


def _vector(handler: LambdaHandler, given: object) -> list[float]:
    body = json.dumps({"model": "fake-model", "input": given}).encode()
    request = HttpRequest(
        "POST", "/v1/embeddings", headers={"content-type": "application/json"}, body=body
    )
    answer = json.loads(handler(http_api(request), Context())["body"])
    vector: list[float] = answer["data"][0]["embedding"]
    return vector


def _status(handler: LambdaHandler, key: str) -> int:
    request = HttpRequest(path="/v1/models", headers={"authorization": f"Bearer {key}"})
    status: int = handler(http_api(request), Context())["statusCode"]
    return status
