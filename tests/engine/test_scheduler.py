from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from types import FrameType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.backends.fake import FakeBackend
from engine.batching import BatchLimits
from engine.errors import (
    BackendError,
    DeadlineTooNearError,
    FailedInputError,
    OverloadedError,
    ShuttingDownError,
)
from engine.inline import InlineScheduler
from engine.jobs import JobOutput
from engine.pooling import pool
from engine.scheduler import QueueState, Scheduler, ServerScheduler
from engine.types import Batch, Encoding, FloatArray, Pooling
from tests.engine.making import PATIENCE_SECONDS, Gate, encodings_of, failing

DIMENSIONS = 4
LIMITS = BatchLimits(max_batch_tokens=100, max_batch_sequences=50, max_padding=0.1)


def compute_with(backend: FakeBackend) -> Callable[[Batch], FloatArray]:
    return lambda batch: pool(backend.run(batch), Pooling.MEAN)


def expected_vectors(encodings: Sequence[Encoding]) -> FloatArray:
    compute = compute_with(FakeBackend(DIMENSIONS))
    return np.stack([compute(Batch((encoding,)))[0] for encoding in encodings])


def bulk(batches: int, *, first_id: int = 0) -> list[Encoding]:
    """A request that fills this many batches, with one sequence each."""
    return encodings_of([100] * batches, first_id=first_id)


@dataclass
class Runs:
    """The first id of each batch, in the order in which they ran."""

    backend: FakeBackend = field(default_factory=lambda: FakeBackend(DIMENSIONS))

    @property
    def ids(self) -> list[int]:
        return [int(batch.encodings[0].input_ids[0]) for batch in self.backend.batches]


@contextmanager
def serving(
    runs: Runs,
    before_run: Callable[[Batch], None] | None = None,
    *,
    concurrency: int = 1,
    max_queue_tokens: int = 1_000_000,
    express_tokens: int = 0,
    clock: Callable[[], float] = time.perf_counter,
) -> Iterator[ServerScheduler]:
    runs.backend.before_run = before_run
    scheduler = ServerScheduler(
        compute_with(runs.backend),
        dimensions=DIMENSIONS,
        limits=LIMITS,
        concurrency=concurrency,
        max_queue_tokens=max_queue_tokens,
        express_tokens=express_tokens,
        clock=clock,
    )
    try:
        yield scheduler
    finally:
        if isinstance(before_run, Gate):
            before_run.open()
        scheduler.close()


def result(future: Future[JobOutput]) -> FloatArray:
    return future.result(PATIENCE_SECONDS).vectors


def waiting(state: QueueState) -> tuple[int, int, int]:
    return state.queued_requests, state.queued_inputs, state.queued_tokens


@pytest.fixture(params=["server", "inline"])
def either(request: pytest.FixtureRequest) -> Iterator[Scheduler]:
    if request.param == "server":
        with serving(Runs(), concurrency=2) as served:
            yield served
    else:
        compute = compute_with(FakeBackend(DIMENSIONS))
        yield InlineScheduler(compute, dimensions=DIMENSIONS, limits=LIMITS)


# Results, of both schedulers


def test_vectors_come_in_the_order_of_the_request(either: Scheduler) -> None:
    """However the sequences were grouped, each gets its own vector, in its own place."""
    encodings = encodings_of([3, 100, 1, 50, 3, 49, 100, 7, 3])
    np.testing.assert_array_equal(expected_vectors(encodings), result(either.submit(encodings)))


def test_a_request_without_sequences_has_no_vectors(either: Scheduler) -> None:
    """Nothing to do is done at once, and harms no worker."""
    assert (0, DIMENSIONS) == result(either.submit([])).shape
    assert (1, DIMENSIONS) == result(either.submit(encodings_of([3]))).shape


def test_a_closed_scheduler_takes_no_work(either: Scheduler) -> None:
    """Work after the end is refused, with a time after which to retry."""
    either.close()
    with pytest.raises(ShuttingDownError) as caught:
        either.submit(encodings_of([3]))
    assert caught.value.retry_after_seconds > 0


def test_closing_twice_is_harmless(either: Scheduler) -> None:
    """A second close does nothing."""
    either.close()
    either.close()


def test_the_time_of_a_request_is_split_into_waiting_and_running(either: Scheduler) -> None:
    """Neither part is negative."""
    output = either.submit(bulk(3)).result(PATIENCE_SECONDS)
    assert output.queue_seconds >= 0
    assert output.inference_seconds >= 0


def broken(shape: Callable[[int], tuple[int, ...]]) -> Callable[[Batch], FloatArray]:
    """Computes vectors of a wrong shape for sequences of three tokens."""

    def compute(batch: Batch) -> FloatArray:
        count = len(batch.encodings)
        is_wrong = batch.encodings[0].tokens == 3
        return np.ones(shape(count) if is_wrong else (count, DIMENSIONS), dtype=np.float32)

    return compute


@pytest.mark.parametrize("inline", [True, False])
@pytest.mark.parametrize(
    "shape",
    [
        lambda count: (3 - count, DIMENSIONS),
        lambda _: (DIMENSIONS,),
        lambda count: (count, 1),
        lambda count: (count, DIMENSIONS + 1),
        lambda count: (count - 1, DIMENSIONS),
        lambda _: (),
    ],
    ids=["one row", "no rows", "one column", "wide", "short", "scalar"],
)
def test_vectors_of_a_wrong_shape_are_a_failure_of_the_backend(
    inline: bool, shape: Callable[[int], tuple[int, ...]]
) -> None:
    """Numbers are never spread over sequences they do not belong to, and the worker lives on."""
    scheduler: Scheduler
    if inline:
        scheduler = InlineScheduler(broken(shape), dimensions=DIMENSIONS, limits=LIMITS)
    else:
        scheduler = ServerScheduler(
            broken(shape), dimensions=DIMENSIONS, limits=LIMITS, concurrency=1, max_queue_tokens=9
        )
    try:
        with pytest.raises(BackendError, match="shape"):
            result(scheduler.submit(encodings_of([3, 3])))
        assert (1, DIMENSIONS) == result(scheduler.submit(encodings_of([4]))).shape
        assert 0 == scheduler.state().running_batches
    finally:
        scheduler.close()


# Fairness


def test_a_short_request_runs_before_the_rest_of_a_bulk_one() -> None:
    """A query waits for the batch that runs, not for the 2048 inputs that came before it."""
    runs, gate = Runs(), Gate()
    with serving(runs, gate) as scheduler:
        large = scheduler.submit(bulk(5))
        assert gate.arrived.wait(PATIENCE_SECONDS)
        small = scheduler.submit(encodings_of([3], first_id=77))
        gate.open()
        result(small)
        result(large)
    assert 77 == runs.ids[1]


def test_a_short_request_runs_soon_among_many_bulk_ones() -> None:
    """With ten bulk requests half served, a query waits for one more batch at most."""
    runs = Runs()
    small: list[Future[JobOutput]] = []
    gate = Gate()

    def arrive(batch: Batch) -> None:
        gate(batch)
        if len(runs.backend.batches) == 14:
            small.append(scheduler.submit(encodings_of([3], first_id=77)))

    with serving(runs, arrive) as scheduler:
        large = [scheduler.submit(bulk(3)) for _ in range(10)]
        gate.open()
        for future in large:
            result(future)
    assert runs.ids.index(77) <= 16


def test_bulk_requests_share_evenly() -> None:
    """Two equal requests advance together, one batch each in turn."""
    runs, gate = Runs(), Gate()
    with serving(runs, gate) as scheduler:
        result_of = [scheduler.submit(bulk(1))]
        assert gate.arrived.wait(PATIENCE_SECONDS)
        result_of += [scheduler.submit(bulk(4, first_id=first)) for first in (10, 20)]
        gate.open()
        for future in result_of:
            result(future)
    tens = [number // 10 for number in runs.ids[1:]]
    assert [{1, 2}] * 4 == [set(tens[at : at + 2]) for at in range(0, 8, 2)]


def test_equal_requests_run_in_the_order_they_came() -> None:
    """Among equals, first come is first served."""
    runs, gate = Runs(), Gate()
    with serving(runs, gate) as scheduler:
        futures = [scheduler.submit(bulk(1))]
        assert gate.arrived.wait(PATIENCE_SECONDS)
        futures += [scheduler.submit(encodings_of([60], first_id=n)) for n in range(1, 40)]
        gate.open()
        for future in futures:
            result(future)
    assert list(range(40)) == runs.ids


def test_a_stream_of_short_requests_does_not_starve_a_bulk_one() -> None:
    """While a short request always waits, the bulk one still gets its half of the tokens."""
    runs = Runs()
    short: list[Future[JobOutput]] = []

    gate = Gate()

    def keep_one_waiting(batch: Batch) -> None:
        gate(batch)
        if len(short) < 500 and (not short or batch.tokens == 10):
            short.append(scheduler.submit(encodings_of([10], first_id=1000)))

    with serving(runs, keep_one_waiting) as scheduler:
        large = scheduler.submit(bulk(5))
        gate.open()
        result(large)
    before = runs.ids[: max(place for place, number in enumerate(runs.ids) if number < 1000)]
    assert before.count(1000) <= 60  # half of the tokens of five batches, and one batch more


# Batches of several requests


def test_waiting_requests_of_similar_length_run_together() -> None:
    """Short queries that came while a batch ran are one batch, and each gets its own vector."""
    runs, gate = Runs(), Gate()
    with serving(runs, gate) as scheduler:
        first = scheduler.submit(bulk(1))
        assert gate.arrived.wait(PATIENCE_SECONDS)
        short = [encodings_of([5], first_id=number) for number in range(1, 15)]
        futures = [scheduler.submit(encodings) for encodings in short]
        gate.open()
        result(first)
        for encodings, future in zip(short, futures, strict=True):
            np.testing.assert_array_equal(expected_vectors(encodings), result(future))
    assert [1, 14] == [len(batch.encodings) for batch in runs.backend.batches]


def test_requests_of_other_lengths_wait_for_their_own_batch() -> None:
    """Nothing is padded beyond the limits to fill a batch."""
    runs, gate = Runs(), Gate()
    with serving(runs, gate) as scheduler:
        futures = [scheduler.submit(bulk(1))]
        assert gate.arrived.wait(PATIENCE_SECONDS)
        futures += [scheduler.submit(encodings_of([tokens])) for tokens in (5, 20, 5, 20)]
        gate.open()
        for future in futures:
            result(future)
    assert [[100], [5, 5], [20, 20]] == [
        [encoding.tokens for encoding in batch.encodings] for batch in runs.backend.batches
    ]


@pytest.mark.parametrize(("short", "runs_of"), [(20, [10, 10]), (60, [10, 10, 20, 20])])
def test_no_thread_takes_all_where_little_waits(short: int, runs_of: list[int]) -> None:
    """Of two threads, one leaves half of what waits for the other, if that is half a batch."""
    runs, holding = Runs(), threading.Barrier(3)
    hold = iter((True, True))

    def hold_first_two(_: Batch) -> None:
        if next(hold, False):
            holding.wait(PATIENCE_SECONDS)  # Both run now.
            holding.wait(PATIENCE_SECONDS)

    with serving(runs, hold_first_two, concurrency=2) as scheduler:
        futures = [scheduler.submit(bulk(2))]
        holding.wait(PATIENCE_SECONDS)
        futures += [scheduler.submit(encodings_of([5])) for _ in range(short)]
        holding.wait(PATIENCE_SECONDS)
        for future in futures:
            result(future)
    found = sorted(len(batch.encodings) for batch in runs.backend.batches)
    assert [1, 1, *runs_of] == found


def test_a_sequence_that_fails_costs_its_neighbours_nothing() -> None:
    """In one batch with a broken one, the others are answered; the broken one is named."""
    gate = Gate()

    def fail_some(batch: Batch) -> None:
        gate(batch)
        if any(13 in encoding.input_ids for encoding in batch.encodings):
            raise BackendError("broken")

    with serving(Runs(), fail_some) as scheduler:
        first = scheduler.submit(bulk(1, first_id=90))
        assert gate.arrived.wait(PATIENCE_SECONDS)
        good = encodings_of([5, 5], first_id=40)
        futures = [scheduler.submit(good), scheduler.submit(encodings_of([5] * 3, first_id=11))]
        futures.append(scheduler.submit(good))
        gate.open()
        result(first)
        for future in (futures[0], futures[2]):
            np.testing.assert_array_equal(expected_vectors(good), result(future))
        with pytest.raises(FailedInputError) as caught:
            result(futures[1])
    assert 2 == caught.value.index


def test_a_batch_that_fails_once_is_computed_again_one_by_one() -> None:
    """A failure that does not come back costs nobody an answer."""
    tried: list[int] = []

    def fail_once(batch: Batch) -> None:
        tried.append(len(batch.encodings))
        if len(tried) == 1:
            raise BackendError("broken")

    encodings = encodings_of([5, 5, 5])
    with serving(Runs(), fail_once) as scheduler:
        vectors = result(scheduler.submit(encodings))
    np.testing.assert_array_equal(expected_vectors(encodings), vectors)
    assert [3, 1, 1, 1] == tried


# Alone on the machine


def test_a_batch_is_told_whether_it_is_alone() -> None:
    """A lone request may use all cores; one of several may not."""
    runs, gate = Runs(), Gate()
    with serving(runs) as scheduler:
        result(scheduler.submit(bulk(1)))
        runs.backend.before_run = gate
        futures = [scheduler.submit(bulk(1))]
        assert gate.arrived.wait(PATIENCE_SECONDS)
        futures += [scheduler.submit(bulk(2))]
        gate.open()
        for future in futures:
            result(future)
    assert [True, True, False, True] == [batch.alone for batch in runs.backend.batches]


def test_no_batch_is_alone_beside_another() -> None:
    """Two that run at the same time share the cores."""
    barrier = threading.Barrier(2)
    runs = Runs()

    def meet(_: Batch) -> None:
        barrier.wait(PATIENCE_SECONDS)

    with serving(runs, meet, concurrency=2) as scheduler:
        result(scheduler.submit(bulk(2)))
    assert [False, False] == [batch.alone for batch in runs.backend.batches]


# The express thread


def test_a_short_request_does_not_wait_for_a_long_run() -> None:
    """While every thread computes, a short request is computed besides."""
    gate = Gate()

    def hold_long_ones(batch: Batch) -> None:
        if batch.tokens == 100:
            gate(batch)

    with serving(Runs(), hold_long_ones, express_tokens=10) as scheduler:
        large = scheduler.submit(bulk(3))
        assert gate.arrived.wait(PATIENCE_SECONDS)
        assert 1 == len(result(scheduler.submit(encodings_of([10]))))
        assert not large.done()
        gate.open()
        assert 3 == len(result(large))


def test_a_long_request_never_takes_the_express_thread() -> None:
    """With the only other thread busy with bulk work, a request over the express size waits."""
    gate = Gate()
    with serving(Runs(), gate, express_tokens=10) as scheduler:
        futures = [scheduler.submit(bulk(2)), scheduler.submit(encodings_of([11]))]
        assert gate.arrived.wait(PATIENCE_SECONDS)
        assert scheduler._take(express=True) == []
        assert 1 == scheduler.state().running_batches
        gate.open()
        for future in futures:
            result(future)


def test_requests_of_one_batch_do_not_take_the_express_thread_beside_each_other() -> None:
    gate = Gate()
    with serving(Runs(), gate, express_tokens=10) as scheduler:
        futures = [scheduler.submit(bulk(1))]
        assert gate.arrived.wait(PATIENCE_SECONDS)
        futures.append(scheduler.submit(encodings_of([10])))
        assert scheduler._take(express=True) == []
        assert (1, 1) == (scheduler.state().running_batches, scheduler.state().queued_requests)
        gate.open()
        for future in futures:
            result(future)


# Load


def test_a_request_that_would_miss_its_deadline_is_refused() -> None:
    """By the measured throughput: at once, with a time after which it would be in time."""
    gate = Gate()
    with serving(Runs(), gate) as scheduler:
        running = scheduler.submit(bulk(1))
        assert gate.arrived.wait(PATIENCE_SECONDS)
        waiting_too = scheduler.submit(bulk(1), deadline_seconds=1e-9)  # nothing measured yet
        gate.open()
        result(running)
        result(waiting_too)
        gate.close()
        futures = [scheduler.submit(bulk(1))]
        assert gate.arrived.wait(PATIENCE_SECONDS)
        futures.append(scheduler.submit(bulk(1)))
        rate = scheduler.state().tokens_per_second
        assert rate is not None
        with pytest.raises(OverloadedError) as caught:
            scheduler.submit(bulk(1), deadline_seconds=100 / rate)  # what it would take alone
        assert caught.value.retry_after_seconds > 0
        futures.append(scheduler.submit(bulk(1), deadline_seconds=1e9))
        gate.open()
        for future in futures:
            result(future)


def test_a_request_that_alone_would_take_far_too_long_is_refused_at_once() -> None:
    """Though nobody else asks; it is told how many of its sequences would be done."""
    clock = iter(range(1000))
    with serving(Runs(), clock=lambda: float(next(clock))) as scheduler:  # a batch a second
        result(scheduler.submit(encodings_of([40])))
        result(scheduler.submit(bulk(4), deadline_seconds=1.0))  # no full batch measured
        with pytest.raises(DeadlineTooNearError) as caught:
            scheduler.submit(bulk(8), deadline_seconds=5.0)
        found = caught.value
        assert (8.0, 5.0, 5) == (found.needed_seconds, found.left_seconds, found.largest_batch)
        assert 6 == len(result(scheduler.submit(bulk(6), deadline_seconds=4.1)))
        assert 8 == len(result(scheduler.submit(bulk(8))))


@dataclass
class Spike:
    """Requests of 1, 8 and 32 sequences, eight times as many as can be computed, each with its
    deadline, and a clock that runs with the tokens that are computed."""

    chance: np.random.Generator
    tokens: int = 400_000
    tokens_per_second: int = 1000
    now: float = 0.0
    refused: list[float] = field(default_factory=list)
    taken: list[Future[JobOutput]] = field(default_factory=list)
    spare_seconds: dict[int, list[float]] = field(default_factory=lambda: {1: [], 8: [], 32: []})
    """Until its deadline, when a request of so many sequences was done."""

    def arrive(self, scheduler: ServerScheduler, batch: Batch) -> None:
        """A batch was computed; meanwhile others came."""
        self.now += batch.tokens / self.tokens_per_second
        came = 0
        while self.tokens > 0 and came < 8 * batch.tokens:
            count = int(self.chance.choice([1, 8, 32], p=[0.7, 0.2, 0.1]))
            lengths = self.chance.integers(3, 100, size=count).tolist()
            came += sum(lengths)
            self.tokens -= sum(lengths)
            self._submit(scheduler, lengths, float(self.chance.uniform(1, 30)))

    def _submit(self, scheduler: ServerScheduler, lengths: list[int], seconds: float) -> None:
        until = self.now + seconds
        spares = self.spare_seconds[len(lengths)]
        try:
            future = scheduler.submit(encodings_of(lengths), deadline_seconds=seconds)
        except OverloadedError as exc:
            self.refused.append(exc.retry_after_seconds)
        else:
            future.add_done_callback(lambda _: spares.append(until - self.now))
            self.taken.append(future)


@pytest.mark.parametrize("seed", range(3))
def test_whoever_is_taken_in_a_spike_is_answered_before_the_deadline(seed: int) -> None:
    """Small requests overtake large ones, and that was counted when the large ones were taken."""
    spike = Spike(np.random.default_rng(seed))

    def before_run(batch: Batch) -> None:
        spike.arrive(scheduler, batch)

    with serving(Runs(), before_run, clock=lambda: spike.now) as scheduler:
        result(scheduler.submit(bulk(1)))
        for future in spike.taken:  # while they become more
            result(future)
    assert 0 >= spike.tokens
    assert all(min(spares) >= 0 for spares in spike.spare_seconds.values())
    assert len(spike.refused) > 100
    assert min(spike.refused) > 0


def test_the_queue_counts_what_waits_and_what_runs() -> None:
    """The batch that runs has left the queue."""
    gate = Gate()
    with serving(Runs(), gate) as scheduler:
        futures = [scheduler.submit(bulk(3))]
        assert gate.arrived.wait(PATIENCE_SECONDS)
        futures.append(scheduler.submit(encodings_of([5, 5])))
        state = scheduler.state()
        assert (2, 4, 210, 1) == (*waiting(state), state.running_batches)
        gate.open()
        for future in futures:
            result(future)
        state = scheduler.state()
        assert (0, 0, 0, 0) == (*waiting(state), state.running_batches)


def test_the_queue_may_be_filled_to_its_limit() -> None:
    """The limit itself is allowed."""
    gate = Gate()
    with serving(Runs(), gate, max_queue_tokens=50) as scheduler:
        scheduler.submit(bulk(1))
        assert gate.arrived.wait(PATIENCE_SECONDS)
        scheduler.submit(encodings_of([30]))
        scheduler.submit(encodings_of([20]))
        assert (2, 2, 50) == waiting(scheduler.state())


def test_a_request_beyond_the_limit_is_refused() -> None:
    """Overload is said early, with the time that the queue will take, and changes nothing."""
    gate = Gate()
    with serving(Runs(), gate, max_queue_tokens=50) as scheduler:
        scheduler.submit(bulk(1))
        assert gate.arrived.wait(PATIENCE_SECONDS)
        scheduler.submit(encodings_of([30]))
        with pytest.raises(OverloadedError) as caught:
            scheduler.submit(encodings_of([21]))
        assert caught.value.retry_after_seconds > 0
        assert (1, 1, 30) == waiting(scheduler.state())


@pytest.mark.parametrize(("batches", "too_many"), [(1, 100), (2, 200), (50, 200)])
def test_a_full_queue_says_when_the_request_fits(batches: int, too_many: int) -> None:
    """Not when all is done that waits; but of one that never fits beside others, that."""
    gate = Gate()
    gate.open()
    with serving(Runs(), gate, max_queue_tokens=200) as scheduler:
        result(scheduler.submit(bulk(1)))
        gate.close()
        futures = [scheduler.submit(bulk(1))]
        assert gate.arrived.wait(PATIENCE_SECONDS)
        futures.append(scheduler.submit(bulk(2)))
        with pytest.raises(OverloadedError) as caught:
            scheduler.submit(bulk(batches))
        rate = scheduler.state().tokens_per_second
        assert rate is not None
        assert caught.value.retry_after_seconds == pytest.approx(too_many / rate)
        gate.open()
        for future in futures:
            result(future)


def test_an_empty_queue_takes_a_request_of_any_size() -> None:
    """A request over the queue's limit is not refused for ever."""
    runs = Runs()
    with serving(runs, max_queue_tokens=50) as scheduler:
        assert 3 == len(result(scheduler.submit(bulk(3))))


def test_no_more_batches_run_than_the_backend_allows() -> None:
    """All of the backend's threads are used, and none besides."""
    together = threading.Barrier(3)
    running: list[int] = []
    lock = threading.Lock()
    most = 0

    def meet(_: Batch) -> None:
        nonlocal most
        with lock:
            running.append(1)
            most = max(most, len(running))
        together.wait(PATIENCE_SECONDS)  # passes only if three are here at once
        with lock:
            running.pop()

    with serving(Runs(), meet, concurrency=3) as scheduler:
        assert 9 == len(result(scheduler.submit(bulk(9))))
    assert 3 == most


# Cancelling


def test_cancelling_drops_what_has_not_run() -> None:
    """The queue is free of a cancelled request at once, and its batches never run."""
    runs, gate = Runs(), Gate()
    with serving(runs, gate) as scheduler:
        future = scheduler.submit(bulk(5))
        assert gate.arrived.wait(PATIENCE_SECONDS)
        assert future.cancel()
        assert (0, 0, 0) == waiting(scheduler.state())
        gate.open()
        result(scheduler.submit(encodings_of([3], first_id=77)))
    assert [0, 77] == runs.ids


def test_cancelling_releases_only_its_own_tokens() -> None:
    """The neighbours in the queue stay, and are computed."""
    runs, gate = Runs(), Gate()
    with serving(runs, gate) as scheduler:
        blocker = scheduler.submit(bulk(1))
        assert gate.arrived.wait(PATIENCE_SECONDS)
        encodings = encodings_of([5, 40, 7], first_id=30)
        kept = [scheduler.submit([one]) for one in encodings]
        scheduler.submit(bulk(2, first_id=20)).cancel()
        assert (3, 3, 52) == waiting(scheduler.state())
        gate.open()
        result(blocker)
        vectors = np.concatenate([result(future) for future in kept])
    np.testing.assert_array_equal(expected_vectors(encodings), vectors)


def test_cancelling_a_request_whose_last_batch_runs_is_harmless() -> None:
    """The result of the batch is dropped, and the worker goes on."""
    gate = Gate()
    with serving(Runs(), gate) as scheduler:
        future = scheduler.submit(bulk(1))
        assert gate.arrived.wait(PATIENCE_SECONDS)
        assert future.cancel()
        gate.open()
        result(scheduler.submit(encodings_of([3])))
        with pytest.raises(CancelledError):
            future.result(0)


def test_a_cancelled_request_that_fails_stays_cancelled() -> None:
    """An error of a batch that nobody waits for goes nowhere."""
    gate = Gate()

    def fail(batch: Batch) -> None:
        gate(batch)
        if len(batch.encodings) == 1:
            raise BackendError("broken")

    with serving(Runs(), fail) as scheduler:
        future = scheduler.submit(bulk(3))
        assert gate.arrived.wait(PATIENCE_SECONDS)
        future.cancel()
        gate.open()
        result(scheduler.submit(encodings_of([3, 3])))
        assert future.cancelled()


# Failing


def test_a_failed_batch_fails_its_request_with_the_cause() -> None:
    """The caller learns which input failed, and why."""
    error = BackendError("broken")
    with (
        serving(Runs(), failing(error)) as scheduler,
        pytest.raises(FailedInputError) as caught,
    ):
        result(scheduler.submit(bulk(1)))
    assert error is caught.value.__cause__
    assert 0 == caught.value.index


def test_a_failed_batch_tells_nothing_of_how_fast_others_are() -> None:
    with serving(Runs(), failing(BackendError("broken"))) as scheduler:
        with pytest.raises(FailedInputError):
            result(scheduler.submit(bulk(1)))
        assert scheduler.state().tokens_per_second is None


def test_a_failed_batch_drops_the_rest_of_its_request() -> None:
    """What can't be answered any more is not computed."""
    runs, tried = Runs(), []

    def fail_first(batch: Batch) -> None:
        tried.append(int(batch.encodings[0].input_ids[0]))
        if len(tried) == 1:
            raise BackendError("broken")

    with serving(runs, fail_first) as scheduler:
        with pytest.raises(BackendError):
            result(scheduler.submit(bulk(5)))
        assert (0, 0, 0) == waiting(scheduler.state())
        result(scheduler.submit(encodings_of([3], first_id=77)))
    assert [0, 77] == tried


def test_a_failed_request_does_not_harm_its_neighbours() -> None:
    """Requests in the queue are computed after another one's failure."""
    gate = Gate()

    def fail_some(batch: Batch) -> None:
        gate(batch)
        if 13 in batch.encodings[0].input_ids:
            raise BackendError("broken")

    encodings = encodings_of([5, 6], first_id=40)
    with serving(Runs(), fail_some) as scheduler:
        before = scheduler.submit(encodings)
        broken = scheduler.submit(bulk(2, first_id=13))
        after = scheduler.submit(encodings)
        gate.open()
        with pytest.raises(BackendError):
            result(broken)
        for future in (before, after):
            np.testing.assert_array_equal(expected_vectors(encodings), result(future))


def test_a_request_fails_once_even_if_all_its_batches_fail() -> None:
    """The first error is the request's; later ones change nothing and kill no worker."""
    together = threading.Barrier(2)

    def fail_together(batch: Batch) -> None:
        if batch.tokens == 100:
            together.wait(PATIENCE_SECONDS)
            raise BackendError("broken")

    with serving(Runs(), fail_together, concurrency=2) as scheduler:
        with pytest.raises(BackendError):
            result(scheduler.submit(bulk(2)))
        small = [scheduler.submit(encodings_of([3])) for _ in range(4)]
        assert [1] * 4 == [len(result(future)) for future in small]


def test_a_request_with_a_failed_batch_never_succeeds() -> None:
    """When the last other batch ends before the failure is told, no unset vectors are returned."""
    both_run, about_to_tell = threading.Barrier(3), threading.Event()
    others_ended = threading.Event()

    def hold_back_the_failure(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code is Future.set_exception.__code__:
            about_to_tell.set()
            assert others_ended.wait(PATIENCE_SECONDS)

    def before_run(batch: Batch) -> None:
        first = int(batch.encodings[0].input_ids[0])
        if first in (0, 1):
            both_run.wait(PATIENCE_SECONDS)
        if first == 0:
            raise BackendError("broken")
        if first == 1:
            assert about_to_tell.wait(PATIENCE_SECONDS)
        if first == 77:  # the thread that ran the other batch is done with it
            others_ended.set()

    threading.settrace(hold_back_the_failure)
    try:
        with serving(Runs(), before_run, concurrency=2) as scheduler:
            future = scheduler.submit(bulk(2))
            both_run.wait(PATIENCE_SECONDS)
            scheduler.submit(encodings_of([3], first_id=77))
            assert isinstance(future.exception(PATIENCE_SECONDS), BackendError)
    finally:
        threading.settrace(None)


# Closing


def test_closing_fails_what_waits_and_finishes_what_runs() -> None:
    """No request is left without an answer."""
    gate = Gate()
    with serving(Runs(), gate) as scheduler:
        running = scheduler.submit(bulk(1))
        assert gate.arrived.wait(PATIENCE_SECONDS)
        queued = scheduler.submit(bulk(2))
        closing = threading.Thread(target=scheduler.close)
        closing.start()
        error = queued.exception(PATIENCE_SECONDS)
        assert closing.is_alive()  # waits for what runs
        gate.open()
        assert 1 == len(result(running))
        closing.join(PATIENCE_SECONDS)
        assert isinstance(error, ShuttingDownError)
        assert (0, 0, 0) == waiting(scheduler.state())


def test_closing_fails_a_request_that_is_half_done() -> None:
    """A part of a request is no answer."""
    runs, gate = Runs(), Gate()
    with serving(runs, gate) as scheduler:
        future = scheduler.submit(bulk(3))
        assert gate.arrived.wait(PATIENCE_SECONDS)
        closing = threading.Thread(target=scheduler.close)
        closing.start()
        assert isinstance(future.exception(PATIENCE_SECONDS), ShuttingDownError)
        gate.open()
        closing.join(PATIENCE_SECONDS)
    assert [0] == runs.ids


def test_closing_leaves_cancelled_requests_cancelled() -> None:
    """Closing does not trip over futures that are done."""
    gate = Gate()
    with serving(Runs(), gate) as scheduler:
        running = scheduler.submit(bulk(2))
        assert gate.arrived.wait(PATIENCE_SECONDS)
        running.cancel()
        gate.open()
        scheduler.close()
        assert running.cancelled()


# Accounting


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.lists(st.integers(1, 100), min_size=1, max_size=6),
            st.integers(0, 20),
        ),
        max_size=25,
    )
)
def test_the_queue_is_counted_exactly(steps: list[list[int] | int]) -> None:
    """After any requests and cancellations, what waits is what was taken and not dropped."""
    limit = 600
    gate = Gate()
    with serving(Runs(), gate, max_queue_tokens=limit) as scheduler:
        scheduler.submit(bulk(1))
        assert gate.arrived.wait(PATIENCE_SECONDS)
        taken: list[tuple[Future[JobOutput], list[int]]] = []
        for step in steps:
            tokens = sum(sum(lengths) for _, lengths in taken)
            if isinstance(step, int):
                if taken:
                    taken.pop(step % len(taken))[0].cancel()
            elif tokens and tokens + sum(step) > limit:
                with pytest.raises(OverloadedError):
                    scheduler.submit(encodings_of(step))
            else:
                taken.append((scheduler.submit(encodings_of(step)), step))
            all_lengths = [lengths for _, lengths in taken]
            assert (
                len(taken),
                sum(map(len, all_lengths)),
                sum(map(sum, all_lengths)),
            ) == waiting(scheduler.state())
        gate.open()
        for future, lengths in taken:
            np.testing.assert_array_equal(expected_vectors(encodings_of(lengths)), result(future))
        assert (0, 0, 0) == waiting(scheduler.state())


def storm(
    scheduler: ServerScheduler, seed: int, futures: list[Future[JobOutput]], faults: list[str]
) -> None:
    """Submit requests, cancel some and wait for some; note any wrong vectors."""
    chance = np.random.default_rng(seed)
    for _ in range(60):
        lengths = chance.integers(1, 100, size=chance.integers(1, 8)).tolist()
        encodings = encodings_of(lengths, first_id=int(chance.choice([13, 20, 30])))
        with suppress(OverloadedError, CancelledError, BackendError):
            future = scheduler.submit(encodings)
            futures.append(future)
            if chance.random() < 0.4:
                future.cancel()
            if chance.random() < 0.5:
                continue
            if not np.array_equal(expected_vectors(encodings), result(future)):
                faults.append(f"wrong vectors for {lengths}")


@pytest.mark.parametrize("seed", range(3))
def test_nothing_is_left_after_a_storm(seed: int) -> None:
    """Threads that submit, cancel and fail leave an empty queue and living workers."""
    workers = 3
    together = threading.Barrier(workers)

    def before_run(batch: Batch) -> None:
        firsts = [int(encoding.input_ids[0]) for encoding in batch.encodings]
        if 13 in firsts:
            raise BackendError("broken")
        if firsts == [500]:
            together.wait(PATIENCE_SECONDS)

    futures: list[Future[JobOutput]] = []
    faults: list[str] = []
    with serving(Runs(), before_run, concurrency=workers, max_queue_tokens=3000) as scheduler:
        threads = [
            threading.Thread(target=storm, args=(scheduler, 10 * seed + number, futures, faults))
            for number in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for future in futures:
            with suppress(CancelledError):
                future.exception(PATIENCE_SECONDS)
        # Nothing waits now, and what may still run was cancelled: each worker is done with it
        # before it comes to the barrier.
        last = [scheduler.submit(encodings_of([100], first_id=500)) for _ in range(workers)]
        for future in last:
            result(future)
        state = scheduler.state()
    assert [] == faults
    assert (0, 0, 0, 0) == (*waiting(state), state.running_batches)


# Memory


@pytest.fixture
def _without_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("_without_collector")
def test_an_answered_request_is_freed_at_once() -> None:
    """Neither a reference cycle nor an idle worker keeps the vectors of the last request."""
    freed = threading.Event()
    with serving(Runs()) as scheduler:
        vectors = result(scheduler.submit(bulk(2)))
        reference = weakref.ref(vectors, lambda _: freed.set())
        del vectors
        assert freed.wait(PATIENCE_SECONDS), reference


@pytest.mark.usefixtures("_without_collector")
def test_a_cancelled_request_is_freed_at_once() -> None:
    """Dropped work does not wait for the collector."""
    freed = threading.Event()
    gate = Gate()
    with serving(Runs(), gate) as scheduler:
        blocker = scheduler.submit(bulk(1))
        assert gate.arrived.wait(PATIENCE_SECONDS)
        encodings = bulk(2)
        reference = weakref.ref(encodings[0].input_ids, lambda _: freed.set())
        scheduler.submit(encodings).cancel()
        del encodings
        assert freed.wait(PATIENCE_SECONDS), reference
        gate.open()
        result(blocker)


# The inline scheduler


def test_inline_work_runs_in_the_thread_of_the_caller() -> None:
    """On Lambda nothing runs in the background, where it would be frozen."""
    threads: set[int] = set()
    backend = FakeBackend(DIMENSIONS, before_run=lambda _: threads.add(threading.get_ident()))
    scheduler = InlineScheduler(compute_with(backend), dimensions=DIMENSIONS, limits=LIMITS)
    assert scheduler.submit(bulk(2)).done()
    assert {threading.get_ident()} == threads


def test_an_inline_failure_is_the_futures() -> None:
    """The error comes with the result, and the next request is computed."""
    backend = FakeBackend(DIMENSIONS, before_run=failing(BackendError("broken")))
    scheduler = InlineScheduler(compute_with(backend), dimensions=DIMENSIONS, limits=LIMITS)
    future = scheduler.submit(bulk(2))
    assert isinstance(future.exception(0), BackendError)
    backend.before_run = None
    assert 2 == len(result(scheduler.submit(bulk(2))))


def test_an_inline_queue_is_always_empty() -> None:
    """Nothing ever waits."""
    compute = compute_with(FakeBackend(DIMENSIONS))
    scheduler = InlineScheduler(compute, dimensions=DIMENSIONS, limits=LIMITS)
    scheduler.submit(bulk(2))
    assert (0, 0, 0) == waiting(scheduler.state())
