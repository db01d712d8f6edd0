"""What a scrape reads from the models themselves: readiness, queues, and which engine runs."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from engine import Engine
from engine.certified import agreement_of, computed_precision
from engine.scheduler import QueueState
from functions.models import ModelRegistry, ModelState, ServedModel
from functions.version import version

_QUEUE = {
    "embellama_queue_requests": ("Requests that wait to be computed.", "queued_requests"),
    "embellama_queue_inputs": ("Inputs that wait to be computed.", "queued_inputs"),
    "embellama_queue_tokens": ("Tokens that wait to be computed.", "queued_tokens"),
    "embellama_running_batches": ("Batches that are being computed.", "running_batches"),
    "embellama_compute_tokens_per_second": (
        "Recent speed of the runtime, from which retry-after follows.",
        "tokens_per_second",
    ),
}
"""Name, help, and the field of `QueueState`."""


class ModelCollector(Collector):
    """Nothing is kept between scrapes, so nothing can be out of date."""

    def __init__(self, models: ModelRegistry) -> None:
        self._models = models

    def describe(self) -> Iterator[Metric]:
        """Nothing: registering must not scrape."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """One sample a model."""
        yield _build()
        usable = [model for model in self._models.models if model.state is ModelState.READY]
        ready = self._models.state() is ModelState.READY
        yield GaugeMetricFamily(
            "embellama_ready", "1 if /health/ready answers 200.", value=float(ready)
        )
        yield _info(usable)
        yield _certificates(usable)
        yield from _queues(usable)
        yield _queue_limits(usable)
        yield _hung_runs(usable)


def _build() -> Metric:
    family = GaugeMetricFamily(
        "embellama_build_info", "The version that runs; always 1.", labels=["version"]
    )
    family.add_metric([version()], 1)
    return family


def _info(models: list[ServedModel]) -> Metric:
    family = GaugeMetricFamily(
        "embellama_model_info",
        "A model that is ready and what computes it; always 1.",
        labels=["model", "engine", "precision", "device", "space"],
    )
    for model in models:
        backend = model.engine.backend
        labels = [backend.name, backend.precision, backend.device, model.engine.space]
        family.add_metric([model.name or "", *labels], 1)
    return family


def _certificates(models: list[ServedModel]) -> Metric:
    family = GaugeMetricFamily(
        "embellama_certificate_min_cosine",
        "Lowest cosine to the source's vectors that was measured for the file that runs.",
        labels=["model"],
    )
    for model in models:
        cosine = certified_cosine(model.engine)
        if cosine is not None:
            family.add_metric([model.name or ""], cosine)
    return family


def certified_cosine(engine: Engine) -> float | None:
    """The lowest certified cosine of the file that runs, or None if nothing is certified."""
    backend = engine.backend
    rows = [
        agreement_of(engine.manifest, file, backend.name)
        for file in engine.manifest.files
        if computed_precision(file, backend.name) == backend.precision
    ]
    return min((row.min_cosine for row in rows if row is not None), default=None)


def _queues(models: list[ServedModel]) -> Iterator[Metric]:
    states: list[tuple[str, QueueState]] = [
        (model.name or "", model.engine.queue_state()) for model in models
    ]
    for name, (help_text, field) in _QUEUE.items():
        family = GaugeMetricFamily(name, help_text, labels=["model"])
        for model, state in states:
            value = getattr(state, field)
            if value is not None:  # not measured yet
                family.add_metric([model], float(value))
        yield family


def _queue_limits(models: list[ServedModel]) -> Metric:
    family = GaugeMetricFamily(
        "embellama_queue_limit_tokens",
        "Tokens that may wait; a request beyond that is refused.",
        labels=["model"],
    )
    for model in models:
        family.add_metric([model.name or ""], model.engine.config.max_queue_tokens)
    return family


def _hung_runs(models: list[ServedModel]) -> Metric:
    family = GaugeMetricFamily(
        "embellama_hung_runs",
        "Runs of the runtime that take longer than they may.",
        labels=["model"],
    )
    for model in models:
        family.add_metric([model.name or ""], model.engine.hung_runs)
    return family
