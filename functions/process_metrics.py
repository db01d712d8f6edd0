"""What a scrape reads of the process itself: what it could not log and could not accept."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from functions.descriptors import DESCRIPTORS
from functions.observability import dropped_log_lines


class ProcessHealthCollector(Collector):
    """Counters that belong to the process and not to one application in it."""

    def describe(self) -> Iterator[Metric]:
        """Nothing: registering must not scrape."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """One sample each."""
        yield CounterMetricFamily(
            "embellama_log_lines_dropped",
            "Log lines that were not written: the reader had stopped, or the disk was full.",
            value=dropped_log_lines(),
        )
        yield CounterMetricFamily(
            "embellama_descriptor_shortages",
            "Looks, ten a second, that found no file descriptor free for a new connection.",
            value=DESCRIPTORS.shortages,
        )
