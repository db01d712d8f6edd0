"""Traces: one span a request and one a stage, sent by OTLP over HTTP. Needs the extra `otel`.

FastAPI makes the span of the request and reads `traceparent`; the stages are known when they are
over, so their spans are made then, with the times that were measured.
"""

from __future__ import annotations

import time

from opentelemetry import trace
from starlette.types import Scope

from engine.errors import ConfigurationError
from functions.observability import RequestRecord, record_of
from functions.version import version

_SERVICE = "embellama"
_TRACES_PATH = "/v1/traces"


class Tracing:
    """Makes spans and sends them from a thread of its own. Close it to send what is left."""

    def __init__(self, endpoint: str) -> None:
        """Begin to send to the collector at `endpoint`, such as `http://localhost:4318`.

        Raises:
            ConfigurationError: the packages for it are not installed.
        """
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
        except ModuleNotFoundError as exc:
            raise ConfigurationError(
                "--otlp-endpoint needs OpenTelemetry: install embellama[otel], or leave it out."
            ) from exc
        service = {"service.name": _SERVICE, "service.version": version()}
        self.provider = TracerProvider(resource=Resource.create(service), shutdown_on_exit=False)
        exporter = OTLPSpanExporter(endpoint=endpoint.rstrip("/") + _TRACES_PATH)
        self.provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self.provider.get_tracer(_SERVICE, version())

    def begin(self, scope: Scope) -> None:
        """Name the request in its span as the log does."""
        span = trace.get_current_span()
        span.set_attribute("embellama.request_id", record_of(scope).request_id)

    def end(self, scope: Scope, record: RequestRecord, status: int) -> None:  # noqa: ARG002
        """Make the spans of the stages, below that of the request."""
        work = record.work
        if work is None or not trace.get_current_span().get_span_context().is_valid:
            return
        attributes: dict[str, str | int] = {
            "embellama.model": work.model,
            "embellama.inputs": work.inputs,
            "embellama.tokens": work.tokens,
        }
        begin = time.time_ns() - round((time.perf_counter() - work.started) * 1e9)
        for stage, seconds in work.stages.items():
            span = self._tracer.start_span(stage, attributes=attributes, start_time=begin)
            begin += round(seconds * 1e9)
            span.end(begin)

    def close(self) -> None:
        """Send what has not been sent, and end the thread."""
        self.provider.shutdown()


def open_tracing(endpoint: str | None) -> Tracing | None:
    """Tracing to this collector, or none."""
    return None if endpoint is None else Tracing(endpoint)
