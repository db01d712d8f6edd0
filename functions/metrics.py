"""What Prometheus reads: counters of requests and stages, and a look at the models at each scrape.

Every application has a registry of its own. No label has a value that a client can make up: an
unknown path is `unmatched`, an unknown method `other`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, partial

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.exposition import choose_encoder
from prometheus_client.gc_collector import GCCollector
from prometheus_client.metrics_core import Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector, CollectorRegistry
from starlette.types import Scope

from engine.types import BatchReport
from functions.model_metrics import ModelCollector
from functions.models import ModelRegistry, ServedModel
from functions.observability import (
    CLIENT_CLOSED_REQUEST,
    RequestRecord,
    Work,
    is_probe,
    route_of,
)
from functions.process_metrics import ProcessHealthCollector

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_REFUSALS = (
    "deadline_exceeded",
    "not_ready",
    "overloaded",
    "payload_too_large",
    "rate_limit_exceeded",
    "request_timeout",
    "response_too_large",
    "shutting_down",
    "too_many_body_bytes",
    "too_many_connections",
)
"""Codes of what is refused to protect the server. They are shown from the start, as 0."""

_REQUEST_SECONDS = (
    0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120,
)  # fmt: skip
_STAGE_SECONDS = (0.0001, 0.0003, *_REQUEST_SECONDS)
_BATCH_INPUTS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048)
_BATCH_TOKENS = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768)


class _WithoutTimestamps(Collector):
    """Drops the sample of each counter and histogram that says when it was made: a third of all."""

    def __init__(self, inner: Collector) -> None:
        self._inner = inner

    def collect(self) -> Iterator[Metric]:
        for metric in self._inner.collect():
            metric.samples = [
                sample for sample in metric.samples if not sample.name.endswith("_created")
            ]
            yield metric


class Metrics:
    """All metrics of one application. Thread-safe: batches end on the engine's threads."""

    def __init__(self, models: ModelRegistry) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self.registry.register(ProcessHealthCollector())
        self.registry.register(ModelCollector(models))
        self._make_request_metrics()
        self._make_work_metrics()
        # Looking a child up by its labels takes longer than counting.
        self._requests_of = cache(self._requests.labels)
        self._request_seconds_of = cache(self._request_seconds.labels)
        self._tokens_of = cache(self._tokens.labels)
        self._inputs_of = cache(self._inputs.labels)
        self._truncated_inputs_of = cache(self._truncated_inputs.labels)
        self._stage_seconds_of = cache(self._stage_seconds.labels)
        self._batch_inputs_of = cache(self._batch_inputs.labels)
        self._batch_tokens_of = cache(self._batch_tokens.labels)
        self._batch_seconds_of = cache(self._batch_seconds.labels)
        for model in models.models:
            model.subscribe(partial(self._observe_batch, model))

    def _make_request_metrics(self) -> None:
        self._requests = Counter(
            "embellama_requests",
            "Requests that were answered; 499 is a client that had gone.",
            ["route", "method", "status"],
            registry=self.registry,
        )
        self._request_seconds = Histogram(
            "embellama_request_duration_seconds",
            "Seconds from the first byte of a request to the last of its answer.",
            ["route"],
            buckets=_REQUEST_SECONDS,
            registry=self.registry,
        )
        self._errors = Counter(
            "embellama_errors",
            "Requests that were answered with an error, by its code.",
            ["code"],
            registry=self.registry,
        )
        self._refusals = Counter(
            "embellama_refusals",
            "Requests that were refused or dropped to protect the server, by the reason.",
            ["reason"],
            registry=self.registry,
        )
        for reason in _REFUSALS:
            self._refusals.labels(reason)
        self._in_flight = Gauge(
            "embellama_requests_in_flight",
            "Requests that are being answered, without probes and scrapes.",
            registry=self.registry,
        )

    def _make_work_metrics(self) -> None:
        self._tokens = Counter(
            "embellama_tokens",
            "Tokens of the inputs that were embedded, as in `usage`.",
            ["model"],
            registry=self.registry,
        )
        self._inputs = Counter(
            "embellama_inputs", "Inputs that were embedded.", ["model"], registry=self.registry
        )
        self._truncated_inputs = Counter(
            "embellama_truncated_inputs",
            "Inputs that were embedded after they had been cut to what the model takes.",
            ["model"],
            registry=self.registry,
        )
        self._stage_seconds = Histogram(
            "embellama_stage_duration_seconds",
            "Seconds that one request spent in a stage.",
            ["stage"],
            buckets=_STAGE_SECONDS,
            registry=self.registry,
        )
        self._batch_inputs = Histogram(
            "embellama_batch_inputs",
            "Inputs that one run of the runtime computed.",
            ["model"],
            buckets=_BATCH_INPUTS,
            registry=self.registry,
        )
        self._batch_tokens = Histogram(
            "embellama_batch_tokens",
            "Tokens that one run of the runtime computed, without padding.",
            ["model"],
            buckets=_BATCH_TOKENS,
            registry=self.registry,
        )
        self._batch_seconds = Histogram(
            "embellama_batch_duration_seconds",
            "Seconds of one run of the runtime.",
            ["model"],
            buckets=_STAGE_SECONDS,
            registry=self.registry,
        )

    def begin(self, scope: Scope) -> None:
        """Note that a request came."""
        if is_probe(scope):
            return
        self._in_flight.inc()

    def end(self, scope: Scope, record: RequestRecord, status: int) -> None:
        """Note how a request was answered."""
        if not is_probe(scope):
            self._in_flight.dec()
        route = route_of(scope) or "unmatched"
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self._requests_of(route, method, str(status)).inc()
        self._request_seconds_of(route).observe(record.elapsed_ms() / 1000)
        if record.work is not None:
            self._add_work(record.work)
        if status >= 400:
            self._add_error(record, status)

    def _add_work(self, work: Work) -> None:
        self._tokens_of(work.model).inc(work.tokens)
        self._inputs_of(work.model).inc(work.inputs)
        self._truncated_inputs_of(work.model).inc(work.truncated)
        for stage, seconds in work.stages.items():
            self._stage_seconds_of(stage).observe(seconds)

    def _add_error(self, record: RequestRecord, status: int) -> None:
        unnamed = "client_closed" if status == CLIENT_CLOSED_REQUEST else "invalid_request"
        code = str(record.fields.get("code", unnamed if status < 500 else "internal_error"))
        self._errors.labels(code).inc()
        if code in _REFUSALS:
            self._refusals.labels(code).inc()

    def expose(self, accept: str) -> tuple[bytes, str]:
        """All metrics in the format that the scraper accepts, and its media type."""
        encode, content_type = choose_encoder(accept)
        return encode(_WithoutTimestamps(self.registry)), content_type

    def _observe_batch(self, model: ServedModel, report: BatchReport) -> None:
        name = model.name or ""
        self._batch_inputs_of(name).observe(report.inputs)
        self._batch_tokens_of(name).observe(report.tokens)
        self._batch_seconds_of(name).observe(report.seconds)
