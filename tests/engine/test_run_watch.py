from __future__ import annotations

import pytest

from engine.errors import BackendError, NotReadyError
from engine.run_watch import LOST_AFTER, RunWatch
from engine.throughput import UNUSUAL
from tests.engine.making import Clock

LIMIT = 60.0


def make(clock: Clock, capacity: int = 1) -> RunWatch:
    return RunWatch(limit_seconds=LIMIT, capacity=capacity, clock=clock)


def hung(watch: RunWatch) -> int:
    """A call, because mypy takes a property to be the same for ever."""
    return watch.hung


def lost(watch: RunWatch) -> bool:
    return watch.is_lost


def test_a_run_hangs_when_it_takes_longer_than_the_limit() -> None:
    """Not at the limit; and no more when it has come back."""
    clock = Clock()
    watch = make(clock)
    with watch.watch(10):
        clock.now = LIMIT
        assert 0 == hung(watch)
        assert watch.obstacle() is None
        watch.check()
        clock.now = LIMIT + 1
        assert 1 == hung(watch)
    assert 0 == hung(watch)
    assert watch.obstacle() is None
    watch.check()


def test_whoever_asks_is_told_for_how_long_and_when_to_come_again() -> None:
    clock = Clock()
    watch = make(clock)
    with watch.watch(10):
        clock.now = 75.0
        with pytest.raises(NotReadyError) as caught:
            watch.check()
    assert "A run of the model hangs: it has taken 75 s, and may take 60 s." == caught.value.message
    assert 10.0 == caught.value.retry_after_seconds


def test_a_large_run_may_take_a_multiple_of_what_was_measured() -> None:
    """1,000 tokens took 10 s: so 2,000 may take 20 times 20 s."""
    clock = Clock()
    watch = make(clock)
    with watch.watch(1000):
        clock.now = 10.0
    with watch.watch(2000):
        clock.now = 10.0 + UNUSUAL * 20.0
        assert 0 == hung(watch)
        clock.now += 1.0
        assert 1 == hung(watch)


def test_a_run_that_fails_at_once_is_no_measure() -> None:
    """What it was expected to take would be next to nothing, and its failure is not a hang."""
    clock = Clock()
    watch = make(clock)
    with watch.watch(1000):
        clock.now = 10.0
    with pytest.raises(BackendError), watch.watch(1_000_000):
        raise BackendError("broken")
    with watch.watch(1000):
        clock.now += UNUSUAL * 10.0
        assert 0 == hung(watch)


def test_as_long_as_a_thread_is_free_work_is_taken() -> None:
    """But that one hangs is told; the oldest is named."""
    clock = Clock()
    watch = make(clock, capacity=2)
    with watch.watch(10):
        clock.now = 70.0
        watch.check()
        obstacle = watch.obstacle()
        assert obstacle is not None
        with watch.watch(10):
            clock.now = 140.0
            assert 2 == hung(watch)
            with pytest.raises(NotReadyError, match="has taken 140 s"):
                watch.check()
        watch.check()


def test_it_is_lost_when_no_thread_came_back_for_long() -> None:
    clock = Clock()
    watch = make(clock, capacity=2)
    with watch.watch(10):
        clock.now = 100.0
        with watch.watch(10):
            clock.now = 100.0 + LOST_AFTER * LIMIT
            assert not lost(watch)
            clock.now += 1.0
            assert lost(watch)
        assert not lost(watch)
