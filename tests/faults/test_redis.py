"""Redis goes while the server counts in it. The limiter alone: tests/functions/test_rate_limits."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest

from engine.golden import GoldenText
from tests.faults import served
from tests.faults.clients import ask, code_of
from tests.functions.ports import free_port
from tests.functions.redis_server import RedisServer
from tests.infra.served import Served
from tests.infra.tools import until
from tests.soak.tally import Tally

LIMIT = 5


@pytest.fixture(scope="module")
def golden() -> list[GoldenText]:
    return served.golden()


def _kill(redis: RedisServer) -> None:
    redis.stop()


def _freeze(redis: RedisServer) -> None:
    redis.process.send_signal(signal.SIGSTOP)


@pytest.mark.parametrize("go", [_kill, _freeze])
def test_requests_pass_uncounted_and_are_counted_again_when_it_is_back(
    go: Callable[[RedisServer], None],
    fault: Path,
    tmp_path: Path,
    golden: list[GoldenText],
    tally: Tally,
) -> None:
    """A limit is for fairness: without its counts nobody is refused, and nobody waits for long."""
    with (
        RedisServer.or_skip(free_port(), tmp_path) as redis,
        served.started(fault, rate_limit_storage=redis.url, requests_per_minute=LIMIT) as server,
    ):
        until(lambda: _is_limited(server, golden, tally), "nobody is refused")

        go(redis)
        for _ in range(2 * LIMIT):
            answer = ask(server.url, served.MODEL, golden, tally)
            assert answer.status_code == 200
            assert "x-ratelimit-limit-requests" not in answer.headers
        assert httpx2.get(f"{server.url}/health/ready").status_code == 200

        redis.come_back()
        until(lambda: _is_limited(server, golden, tally), "nobody is refused again")


def _is_limited(server: Served, golden: list[GoldenText], tally: Tally) -> bool:
    answer = ask(server.url, served.MODEL, golden, tally)
    if answer.status_code == 200:
        return False
    assert code_of(answer) == (429, "rate_limit_exceeded")
    assert int(answer.headers["retry-after"]) >= 1
    return True
