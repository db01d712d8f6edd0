from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import structlog
from limits.aio.storage import RedisStorage

from functions.errors import RateLimitError, RequestOverRateLimitError
from functions.rate_limits import RateLimiter, open_rate_limiter, open_storage
from functions.rate_table import RateTable
from functions.rate_window import Window, duration
from functions.settings import Settings, SettingsError
from tests.functions.ports import free_port
from tests.functions.redis_server import RedisServer

MINUTE = 1_000_000_020.0
"""A time at which a minute begins."""


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Sets the seconds that have passed since the beginning of a minute."""

    def set_time(seconds: float) -> None:
        monkeypatch.setattr(time, "time", lambda: MINUTE + seconds)

    set_time(0)
    return set_time


def _limiter(**limits: int) -> RateLimiter:
    counts: dict[str, int | None] = {"requests": None, "tokens": None, **limits}
    table = RateTable(clock=lambda: time.time())
    return RateLimiter(requests=counts["requests"], tokens=counts["tokens"], storage=table)


def test_what_fits_passes_and_what_does_not_is_told_when_it_will(
    at: Callable[[float], None],
) -> None:
    async def run() -> None:
        limiter = _limiter(tokens=10)
        await limiter.take("tokens", "a", 6)
        with pytest.raises(RateLimitError) as caught:
            await limiter.take("tokens", "a", 5)
        assert caught.value.message == (
            "The rate limit of 10 tokens a minute is reached. Try again in 61 s."
        )
        await limiter.take("tokens", "a", 4)
        await limiter.take("tokens", "b", 10)
        # 6 + 4 of the last minute; each tenth of a minute gives one of them back.
        at(60 + 29.9)
        with pytest.raises(RateLimitError):
            await limiter.take("tokens", "a", 6)
        at(60 + 30.1)
        await limiter.take("tokens", "a", 6)

    asyncio.run(run())


def test_the_time_that_is_told_is_when_it_fits(at: Callable[[float], None]) -> None:
    async def run() -> None:
        limiter = _limiter(requests=7)
        now = 0.0
        for pause in (0.0, 10.0, 0.0, 49.0, 2.0, 39.0, 18.0, 0.0):
            now += pause
            at(now)
            while True:
                try:
                    await limiter.take("requests", "a", 1)
                except RateLimitError as exc:
                    wait = exc.retry_after_seconds
                    break
            at(now + wait - 0.01)
            with pytest.raises(RateLimitError):
                await limiter.take("requests", "a", 1)
            now += wait
            at(now)
            await limiter.take("requests", "a", 1)

    asyncio.run(run())


def test_a_request_that_never_fits_is_told_so() -> None:
    with pytest.raises(RequestOverRateLimitError, match="has 11 tokens, but the rate limit is 10"):
        asyncio.run(_limiter(tokens=10).take("tokens", "a", 11))


def test_what_has_no_limit_is_not_counted() -> None:
    asyncio.run(_limiter(requests=1).take("tokens", "a", 10**9))


def test_the_headers_have_limit_rest_and_reset(at: Callable[[float], None]) -> None:
    async def run() -> dict[str, str]:
        limiter = _limiter(requests=4, tokens=1000)
        assert (await limiter.headers("a"))["x-ratelimit-reset-requests"] == "0s"
        at(15)
        await limiter.take("requests", "a", 1)
        await limiter.take("tokens", "a", 600)
        return await limiter.headers("a")

    assert asyncio.run(run()) == {
        "x-ratelimit-limit-requests": "4",
        "x-ratelimit-remaining-requests": "3",
        "x-ratelimit-reset-requests": "46s",  # the next minute; from then on, 1 x 59.99 / 60 is 0
        "x-ratelimit-limit-tokens": "1000",
        "x-ratelimit-remaining-tokens": "400",
        "x-ratelimit-reset-tokens": "1m45s",
    }


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (0.0001, "1ms"), (0.12, "120ms"), (1, "1s"), (1.2, "2s"), (360, "6m0s")],
)
def test_a_duration_is_written_as_openai_does(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_minute_before_counts_by_what_is_left_of_it() -> None:
    window = Window(
        limit=10, seconds=60, previous=8, previous_seconds=30, current=3, seconds_to_next=30
    )
    assert window.remaining == 3
    assert window.seconds_until(3) == 0
    assert window.seconds_until(4) == pytest.approx(0.001)
    assert window.seconds_until(5) == pytest.approx(7.501)


@pytest.mark.parametrize("url", ["memcached://x", "redis", "redis://host:port"])
def test_a_storage_that_is_none_ends_the_start(url: str) -> None:
    with pytest.raises(SettingsError, match="rate_limit_storage"):
        open_storage(url)


def test_without_limits_there_is_no_limiter() -> None:
    assert open_rate_limiter(Settings()) is None


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer.or_skip(free_port(), tmp_path) as server:
        yield server


@asynccontextmanager
async def _limiter_on(
    url: str, clock: Callable[[], float] = time.monotonic, **limits: int
) -> AsyncIterator[RateLimiter]:
    storage = open_storage(url)
    assert isinstance(storage, RedisStorage)
    yield RateLimiter(
        requests=limits.get("requests"),
        tokens=limits.get("tokens"),
        storage=storage,
        clock=clock,
    )
    await storage.bridge.get_connection().aclose()  # type: ignore[attr-defined] # of redis-py only


def test_replicas_count_together_in_redis(redis: RedisServer) -> None:
    async def run() -> None:
        async with (
            _limiter_on(redis.url, tokens=100) as one,
            _limiter_on(redis.url, tokens=100) as two,
        ):
            await one.take("tokens", "a", 60)
            with pytest.raises(RateLimitError) as caught:
                await two.take("tokens", "a", 60)
            assert 60 < caught.value.retry_after_seconds < 120
            await two.take("tokens", "a", 40)
            assert (await one.headers("a"))["x-ratelimit-remaining-tokens"] == "0"
            assert (await one.headers("b"))["x-ratelimit-remaining-tokens"] == "100"

    asyncio.run(run())


def test_requests_at_the_same_time_never_get_more_than_the_limit(redis: RedisServer) -> None:
    async def run() -> int:
        async with (
            _limiter_on(redis.url, requests=20) as one,
            _limiter_on(redis.url, requests=20) as two,
        ):
            found = await asyncio.gather(
                *(limiter.take("requests", "a", 1) for limiter in (one, two) for _ in range(30)),
                return_exceptions=True,
            )
        return found.count(None)

    assert asyncio.run(run()) == 20


def test_without_redis_all_pass_and_the_log_says_so_once(
    redis: RedisServer, logs: list[structlog.typing.EventDict]
) -> None:
    now = 0.0

    async def run() -> None:
        nonlocal now
        async with _limiter_on(redis.url, lambda: now, requests=1) as limiter:
            await limiter.take("requests", "a", 1)
            redis.stop()
            for _ in range(3):
                await limiter.take("requests", "a", 1)
                assert limiter.storage_is_down
                assert await limiter.headers("a") == {}
                now += 6
            redis.start()
            await limiter.take("requests", "a", 1)
            assert not limiter.storage_is_down
            with pytest.raises(RateLimitError):
                await limiter.take("requests", "a", 1)

    asyncio.run(run())
    assert [line["event"] for line in logs] == [
        "rate limits are off: their storage failed",
        "rate limits are on again",
    ]
