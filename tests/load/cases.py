"""The loads: which server each is sent to, with which settings."""

from __future__ import annotations

import re
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from engine.golden import GoldenSet
from tests.bench.processes import HttpServer
from tests.bench.subjects import open_ours
from tests.load import k6

_QUEUE_TOKENS = 12_000
_BATCH = 8
_CALIBRATION_SECONDS = 5.0
_CALIBRATION_CLIENTS = 4
_SPEED = re.compile(r"^embellama_compute_tokens_per_second\{[^}]*\} ([0-9.e+]+)$", re.MULTILINE)
_BOUND_FACTOR = 2
_BOUND_MARGIN_MS = 500
_KEYS = {"GREEDY_KEY": "greedy-key", "POLITE_KEY": "polite-key", "PATIENT_KEY": "patient-key"}
_SAMPLE_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Case:
    """A script, its server's options, and the settings of a run that only shows that it works."""

    name: str
    title: str
    server: tuple[str, ...] = ()
    environment: Mapping[str, object] = field(default_factory=dict)
    small: Mapping[str, object] = field(default_factory=dict)
    key: str | None = None
    is_bounded: bool = False
    """Whether the script takes a bound that follows from the speed of this machine."""
    least_connections: int = 0
    """How many the server has to hold at once, as the kernel counts them."""


CASES = (
    Case(
        "ramp",
        "ramp to 1,000 connections",
        small={"CONNECTIONS": 50, "RAMP": 1, "HOLD": 2},
        least_connections=1000,
    ),
    Case("arrival", "constant arrival, mixed sizes", small={"RATE": 5, "HOLD": 3}),
    Case(
        "spike",
        "spike over capacity",
        server=("--max-queue-tokens", str(_QUEUE_TOKENS)),
        small={"CALM": 1, "SPIKE": 3, "RATE": 60},
        is_bounded=True,
    ),
    Case(
        "rate_limit",
        "rate limit of 120 requests a minute",
        server=(
            *("--requests-per-minute", "120"),
            *("--api-key", f"greedy:{_KEYS['GREEDY_KEY']}"),
            *("--api-key", f"polite:{_KEYS['POLITE_KEY']}"),
            *("--api-key", f"patient:{_KEYS['PATIENT_KEY']}"),
            *("--api-key", "runner:runner-key"),
        ),
        environment=_KEYS,
        small={"HOLD": 4, "PATIENT": 0},
        key="runner-key",
    ),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a case found."""

    case: Case
    sent: k6.Sent
    seconds: float
    most_connections: int
    bound_ms: float | None
    tokens_per_second: float | None

    @property
    def has_connections(self) -> bool:
        """Whether as many were open at once as were promised."""
        return self.most_connections >= self.case.least_connections

    @property
    def kept(self) -> bool:
        """Whether all promises were."""
        return self.sent.kept and self.has_connections


def run(case: Case, bundle: Path, *, is_small: bool = False) -> Outcome:
    """Start the server, send the load, end the server.

    Raises:
        UnavailableError: k6 can't be had, or the server did not start.
        LoadError: the script did not run.
    """
    golden = bundle / "golden.json"
    options = ("--model-path", str(bundle), *case.server)
    with open_ours(*options, name=f"load-{case.name}") as server:
        server.wait_until_ready(_headers(case))
        speed = _measured_speed(server, golden) if case.is_bounded else None
        bound = None if speed is None else _bound_ms(speed)
        environment: dict[str, object] = {
            "URL": f"http://127.0.0.1:{server.port}",
            "MODEL": server.model,
            "GOLDEN": golden.resolve(),
            **case.environment,
            **(case.small if is_small else {}),
            **({} if bound is None else {"BOUND_MS": round(bound)}),
        }
        started = time.monotonic()
        with _counting_connections(server.port) as counted:
            sent = k6.run(case.name, environment, thresholds=not is_small)
        server.check_alive()
        return Outcome(case, sent, time.monotonic() - started, max(counted), bound, speed)


def _headers(case: Case) -> dict[str, str]:
    return {} if case.key is None else {"authorization": f"Bearer {case.key}"}


def _bound_ms(tokens_per_second: float) -> float:
    """The longest wait is the full queue's; twice that, as k6 shares the machine's cores."""
    return _BOUND_FACTOR * _QUEUE_TOKENS / tokens_per_second * 1000 + _BOUND_MARGIN_MS


def _measured_speed(server: HttpServer, golden: Path) -> float:
    """Tokens a second as the server itself measures them, after some seconds of the same texts."""
    rows = sorted(GoldenSet.load(golden).texts, key=lambda row: row.input_ids.size)
    texts = [row.text for row in rows[: len(rows) // 2]]
    until = time.monotonic() + _CALIBRATION_SECONDS

    def ask(start: int) -> None:
        place = start
        while time.monotonic() < until:
            server.embed([texts[(place + offset) % len(texts)] for offset in range(_BATCH)])
            place += _BATCH

    clients = [threading.Thread(target=ask, args=(at,)) for at in range(_CALIBRATION_CLIENTS)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    url = f"http://127.0.0.1:{server.port}/metrics"
    with urllib.request.urlopen(url, timeout=60) as answer:
        found = _SPEED.search(answer.read().decode())
    if found is None:
        raise k6.LoadError("The server does not tell its speed.")
    return float(found[1])


@contextmanager
def _counting_connections(port: int) -> Iterator[Sequence[int]]:
    """How many connections the port has, four times a second."""
    found = [0]
    ended = threading.Event()

    def count() -> None:
        while not ended.wait(_SAMPLE_SECONDS):
            found.append(connections(port))

    thread = threading.Thread(target=count)
    thread.start()
    try:
        yield found
    finally:
        ended.set()
        thread.join()


def connections(port: int) -> int:
    """Established connections to a port of 127.0.0.1, as the kernel lists them. Linux only."""
    local, established = f":{port:04X}", "01"
    lines = Path("/proc/net/tcp").read_text("ascii").splitlines()[1:]
    return sum(
        row[1].endswith(local) and row[3] == established for row in (line.split() for line in lines)
    )
