from __future__ import annotations

import threading

import pytest

from engine.breaker import BreakerState, CircuitBreaker
from engine.errors import BackendError, NotReadyError
from tests.engine.making import PATIENCE_SECONDS, Clock


def fail() -> None:
    raise BackendError("broken")


def state_of(breaker: CircuitBreaker) -> BreakerState:
    """A call, because mypy takes a property to be the same for ever."""
    return breaker.state


def make(clock: Clock, failures: int = 3) -> CircuitBreaker:
    return CircuitBreaker(failures=failures, pause_seconds=10, clock=clock)


def break_it(breaker: CircuitBreaker, times: int) -> None:
    for _ in range(times):
        with pytest.raises(BackendError):
            breaker.call(fail)


def test_it_opens_after_so_many_failures_in_a_row() -> None:
    """Not one earlier; then calls are refused without being made, with the time that is left."""
    clock, called = Clock(), []
    breaker = make(clock)
    break_it(breaker, 2)
    assert BreakerState.CLOSED is state_of(breaker)
    break_it(breaker, 1)
    clock.now = 4
    with pytest.raises(NotReadyError) as caught:
        breaker.call(lambda: called.append(1))
    assert [] == called
    assert 6 == caught.value.retry_after_seconds
    assert BreakerState.OPEN is state_of(breaker)


def test_a_success_in_between_starts_the_count_anew() -> None:
    """Only failures in a row count."""
    breaker = make(Clock())
    for _ in range(5):
        break_it(breaker, 2)
        assert 7 == breaker.call(lambda: 7)
    assert BreakerState.CLOSED is state_of(breaker)


def test_other_errors_are_not_failures() -> None:
    """What is not the backend's fault opens nothing."""
    breaker = make(Clock(), failures=1)
    with pytest.raises(ValueError, match="mine"):
        breaker.call(lambda: int("mine"))
    assert BreakerState.CLOSED is state_of(breaker)


def test_after_the_pause_one_success_closes_it() -> None:
    """The call that tries decides."""
    clock = Clock()
    breaker = make(clock)
    break_it(breaker, 3)
    clock.now = 10
    assert BreakerState.HALF_OPEN is state_of(breaker)
    assert 7 == breaker.call(lambda: 7)
    assert BreakerState.CLOSED is state_of(breaker)
    breaker.check()


def test_after_the_pause_one_failure_opens_it_again() -> None:
    """And a new pause begins."""
    clock = Clock()
    breaker = make(clock)
    break_it(breaker, 3)
    clock.now = 10
    break_it(breaker, 1)
    clock.now = 19
    assert BreakerState.OPEN is state_of(breaker)
    clock.now = 20
    assert BreakerState.HALF_OPEN is state_of(breaker)


def test_only_one_call_tries_at_a_time() -> None:
    """The others are refused until it is decided."""
    clock = Clock()
    breaker = make(clock)
    break_it(breaker, 3)
    clock.now = 10
    trying, go_on = threading.Event(), threading.Event()

    def slow() -> None:
        trying.set()
        assert go_on.wait(PATIENCE_SECONDS)

    thread = threading.Thread(target=breaker.call, args=(slow,))
    thread.start()
    assert trying.wait(PATIENCE_SECONDS)
    with pytest.raises(NotReadyError):
        breaker.call(lambda: 7)
    with pytest.raises(NotReadyError):
        breaker.check()
    go_on.set()
    thread.join()
    assert 7 == breaker.call(lambda: 7)


def test_calls_overlap_while_it_is_closed() -> None:
    """The breaker does not make threads wait for each other."""
    breaker = make(Clock())
    together = threading.Barrier(2)
    threads = [
        threading.Thread(target=breaker.call, args=(lambda: together.wait(PATIENCE_SECONDS),))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not together.broken
