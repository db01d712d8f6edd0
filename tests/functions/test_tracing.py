from __future__ import annotations

import builtins
import subprocess
import sys
from collections.abc import Iterator, Mapping
from signal import SIGTERM
from typing import Any

import httpx2
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from starlette.testclient import TestClient

from engine.engine import Engine
from engine.errors import ConfigurationError
from functions.app import create_app
from functions.settings import Settings
from functions.tracing import Tracing, open_tracing
from functions.version import version
from tests.functions.collector import Collector, attributes_of
from tests.functions.targets.serving import ServerProcess

BODY = {"model": "fake-model", "input": ["the cat", "sat"]}
STAGES = ["tokenize", "queue", "inference", "encode"]
TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as opened:
        yield opened


def _trace(
    collector: Collector,
    engine: Engine,
    body: Mapping[str, object] = BODY,
    headers: Mapping[str, str] | None = None,
) -> dict[str, Span]:
    """Send one request; the spans that came of it."""
    tracing = Tracing(collector.url)
    client = TestClient(create_app(Settings(), engine, tracing=tracing))
    client.post("/v1/embeddings", json=body, headers=headers)
    client.get("/health/ready")
    tracing.close()
    return collector.spans


def test_a_request_has_a_span_and_each_stage_one_below_it(
    collector: Collector, engine: Engine
) -> None:
    spans = _trace(collector, engine)
    request = spans["POST /v1/embeddings"]
    assert set(spans) == {"POST /v1/embeddings", *STAGES}
    assert request.kind == Span.SPAN_KIND_SERVER
    for stage in STAGES:
        assert spans[stage].trace_id == request.trace_id
        assert spans[stage].parent_span_id == request.span_id


def test_the_stages_follow_each_other_within_the_request(
    collector: Collector, engine: Engine
) -> None:
    spans = _trace(collector, engine)
    request = spans["POST /v1/embeddings"]
    times = [request.start_time_unix_nano]
    for stage in STAGES:
        times += [spans[stage].start_time_unix_nano, spans[stage].end_time_unix_nano]
    assert times == sorted(times)


def test_a_span_says_what_was_asked_but_not_the_text(collector: Collector, engine: Engine) -> None:
    spans = _trace(collector, engine, headers={"x-request-id": "r1"})
    request = attributes_of(spans["POST /v1/embeddings"])
    assert request["embellama.request_id"] == "r1"
    assert request["http.response.status_code"] == 200
    assert attributes_of(spans["inference"]) == {
        "embellama.model": "fake-model",
        "embellama.inputs": 2,
        "embellama.tokens": 7,
    }
    assert "cat" not in str(spans)


def test_a_trace_that_began_elsewhere_goes_on(collector: Collector, engine: Engine) -> None:
    spans = _trace(collector, engine, headers={"traceparent": f"00-{TRACE}-{PARENT}-01"})
    request = spans["POST /v1/embeddings"]
    assert (request.trace_id.hex(), request.parent_span_id.hex()) == (TRACE, PARENT)
    assert {span.trace_id.hex() for span in spans.values()} == {TRACE}


def test_a_caller_that_does_not_sample_is_obeyed(collector: Collector, engine: Engine) -> None:
    assert _trace(collector, engine, headers={"traceparent": f"00-{TRACE}-{PARENT}-00"}) == {}


@pytest.mark.parametrize("value", ["", "nonsense", f"00-{'0' * 32}-{PARENT}-01"])
def test_a_wrong_traceparent_is_ignored(value: str, collector: Collector, engine: Engine) -> None:
    spans = _trace(collector, engine, headers={"traceparent": value})
    assert spans["POST /v1/embeddings"].parent_span_id == b""


def test_a_refused_request_has_a_span_alone(collector: Collector, engine: Engine) -> None:
    spans = _trace(collector, engine, body={})
    assert list(spans) == ["POST /v1/embeddings"]
    assert attributes_of(spans["POST /v1/embeddings"])["http.response.status_code"] == 400


def test_the_service_is_named(collector: Collector, engine: Engine) -> None:
    _trace(collector, engine)
    assert collector.paths[0] == "/v1/traces"
    assert collector.service["service.name"] == "embellama"
    assert collector.service["service.version"] == version()


def test_the_server_sends_its_last_spans_before_it_ends(collector: Collector) -> None:
    with ServerProcess.fake("free", otlp_endpoint=collector.url) as server:
        server.event("model ready")
        assert httpx2.post(f"{server.url}/v1/embeddings", json=BODY).status_code == 200
        server.signal(SIGTERM)
        assert server.exit_code() == 0
    assert set(collector.spans) == {"POST /v1/embeddings", *STAGES}


def test_no_endpoint_no_tracing() -> None:
    assert open_tracing(None) is None


def test_nothing_is_imported_unless_it_is_used() -> None:
    script = (
        "import sys, functions.targets.server; "
        "sys.exit(any(name.startswith(('opentelemetry.sdk', 'opentelemetry.exporter', "
        "'google.protobuf')) for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0


def test_without_the_extra_it_is_refused_with_the_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without_otel(name: str, *args: Any) -> Any:  # noqa: ANN401 - as the one it stands for
        if name.startswith("opentelemetry.exporter"):
            raise ModuleNotFoundError(name)
        return real(name, *args)

    monkeypatch.setattr(builtins, "__import__", without_otel)
    with pytest.raises(ConfigurationError, match=r"install embellama\[otel\]"):
        Tracing("http://localhost:4318")
