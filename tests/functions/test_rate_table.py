from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable
from typing import TypeVar

import pytest
import structlog
from limits.aio.storage import MemoryStorage

from functions.rate_table import RateTable

EXPIRY = 60
Found = TypeVar("Found")


class Clock:
    """Seconds since a minute began; passes when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def _run(call: Awaitable[Found]) -> Found:
    async def wait() -> Found:
        return await call

    return asyncio.run(wait())


def _take(table: RateTable, *keys: str, limit: int = 2) -> list[bool]:
    async def take() -> list[bool]:
        return [await table.acquire_sliding_window_entry(key, limit, EXPIRY) for key in keys]

    return asyncio.run(take())


def test_a_window_has_what_the_storage_of_limits_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same takes in both, some of which do not fit, at any place in a minute."""
    clock = Clock()
    monkeypatch.setattr(time, "time", clock)
    table, reference = RateTable(clock=clock), MemoryStorage()

    async def compare() -> None:
        for step in range(300):
            clock.now += (step * 7.3) % 23 if step % 40 else 150
            key, amount = f"client-{step % 3}", step % 5
            taken = [
                await storage.acquire_sliding_window_entry(key, 10, EXPIRY, amount)
                for storage in (table, reference)
            ]
            assert taken[0] == taken[1]
            found = [
                await storage.get_sliding_window(key, EXPIRY) for storage in (table, reference)
            ]
            assert found[0] == pytest.approx(found[1])

    asyncio.run(compare())


def test_a_full_table_forgets_who_was_seen_least_recently_and_says_so_once(
    logs: list[structlog.typing.EventDict],
) -> None:
    table = RateTable(most_counts=3, clock=Clock())
    assert _take(table, "often", "a", "b", "often") == [True] * 4
    assert _take(table, "c", "often", "d", "often") == [True, False, True, False]
    assert len(table) == 3
    assert _take(table, "a") == [True]  # Forgotten, so it begins anew.
    assert [(line["event"], line["log_level"], line["most"]) for line in logs] == [
        ("rate limits forget clients", "warning", 3)
    ]


def test_no_table_grows_over_its_bound() -> None:
    table = RateTable(most_counts=100, clock=Clock())
    _take(table, *(f"client-{number}" for number in range(1000)))
    assert len(table) == 100


@pytest.mark.parametrize("seconds", [2 * EXPIRY, -2 * 86_400])
def test_clients_that_have_gone_are_swept_while_others_ask(seconds: float) -> None:
    clock = Clock()
    table = RateTable(clock=clock)
    _take(table, *(f"gone-{number}" for number in range(200)))
    clock.now += seconds
    _take(table, *(f"new-{number}" for number in range(99)))
    assert len(table) == 2 + 99
    _take(table, "new-0")
    assert len(table) == 99


def test_a_window_that_is_only_asked_for_takes_no_place() -> None:
    table = RateTable(clock=Clock())
    assert _run(table.get_sliding_window("a", EXPIRY)) == (0, 0.0, 0, 120.0)
    assert len(table) == 0


def test_a_request_does_as_much_beside_many_clients_as_beside_few() -> None:
    assert _calls_of_a_take(clients=5000) == _calls_of_a_take(clients=5)


def _calls_of_a_take(clients: int) -> int:
    """How many functions are called by one take, and by what it leaves to the event loop."""
    table, calls = RateTable(clock=Clock()), 0

    def count(*_: object) -> None:
        nonlocal calls
        calls += 1

    async def take() -> None:
        for number in range(clients):
            await table.acquire_sliding_window_entry(f"client-{number}", 9, EXPIRY)
        sys.setprofile(count)
        await table.acquire_sliding_window_entry("client-0", 9, EXPIRY)
        await asyncio.sleep(0)
        sys.setprofile(None)

    asyncio.run(take())
    return calls
