"""Whose turn it is, and the bound on how long anybody waits: counted in tokens, without a clock."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.batching import BatchLimits
from engine.jobs import Job
from engine.waiting import Waiting
from tests.engine.making import encodings_of

_BATCH_TOKENS = 100
_LIMITS = BatchLimits(max_batch_tokens=_BATCH_TOKENS, max_batch_sequences=50, max_padding=0.1)
_HEAD_START_TOKENS = 4 * _BATCH_TOKENS
_LONGEST_TOKENS = 250
"""Of one sequence in these tests: longer than a batch may otherwise be."""
_SLACK_TOKENS = 2 * _HEAD_START_TOKENS + 3 * _LONGEST_TOKENS


def job_of(*lengths: int) -> Job:
    return Job.of(encodings_of(lengths), _LIMITS, 1)


class Queue:
    """Takes one batch after the other, and keeps how much was taken while each request waited."""

    def __init__(self) -> None:
        self.waiting = Waiting(_LIMITS)
        self.taken = 0
        self.came: dict[Job, tuple[int, int]] = {}
        """For each that waits: what had been taken when it came, and the promised bound."""
        self.waited: dict[Job, int] = {}
        self.hurried: set[Job] = set()

    def add(self, *lengths: int, hurried: bool = False) -> Job:
        job = job_of(*lengths)
        most = 2 * (self.waiting.tokens + sum(lengths)) + _HEAD_START_TOKENS + _LONGEST_TOKENS
        if hurried:
            before = self.hurried_tokens
            most = min(most, 4 * (before + sum(lengths)) + _SLACK_TOKENS)
            self.hurried.add(job)
        self.came[job] = (self.taken, most)
        self.waiting.add(job, hurried=hurried)
        return job

    @property
    def hurried_tokens(self) -> int:
        return sum(job.waiting_tokens for job in self.hurried)

    def take(self) -> list[Job]:
        """The requests in the next batch. Fails where one waited longer than it may."""
        parts = self.waiting.take(_BATCH_TOKENS)
        self.taken += sum(planned.tokens for _, planned in parts)
        for job in self.came.keys() & {job for job, _ in parts if not job.batches}:
            start, most = self.came.pop(job)
            self.waited[job] = self.taken - start
            assert self.waited[job] <= most
        return [job for job, _ in parts]

    def take_until_done(self, job: Job, *coming: tuple[int, ...]) -> int:
        """Tokens taken until it is; before each batch, requests of these lengths come."""
        start, most = self.came[job]
        while job not in self.waited:
            assert self.taken - start <= most
            for lengths in coming:
                self.add(*lengths)
            self.take()
        return self.waited[job]

    def drop(self, place: int) -> None:
        if self.came:
            job = list(self.came)[place % len(self.came)]
            del self.came[job]
            self.waiting.remove(job)


# The bound


def test_a_large_request_is_done_in_time_while_small_ones_keep_coming() -> None:
    """Small ones are served first, but no more of them than it is large."""
    queue = Queue()
    large = queue.add(*[100] * 20)
    coming = [(60, 40)] * 10  # ten times of what is computed meanwhile
    assert queue.take_until_done(large, *coming) <= 2 * 2000 + _HEAD_START_TOKENS + _BATCH_TOKENS


def test_a_request_in_the_middle_of_the_queue_is_done_in_time_too() -> None:
    """The half of those that came first is theirs in the order in which they came."""
    queue = Queue()
    for _ in range(5):
        queue.add(*[100] * 10)
    middle = queue.add(*[100] * 20)
    coming = [(60, 40)] * 10
    assert queue.take_until_done(middle, *coming) <= 2 * 7000 + _HEAD_START_TOKENS + _BATCH_TOKENS


def test_a_hurried_request_is_done_in_time_while_others_keep_coming() -> None:
    """Beside a large one that came before, and shorter ones that come later."""
    queue = Queue()
    queue.add(*[100] * 100)
    urgent = queue.add(*[100] * 5, hurried=True)
    assert queue.take_until_done(urgent, *[(60, 40)] * 10) <= 4 * 500 + _SLACK_TOKENS


_LENGTHS = st.lists(
    st.one_of(st.integers(1, 12), st.integers(1, _LONGEST_TOKENS)), min_size=1, max_size=6
)
_STEPS = st.lists(
    st.one_of(st.none(), st.none(), st.tuples(_LENGTHS, st.booleans()), st.integers(0, 100)),
    min_size=1,
    max_size=120,
)


@settings(max_examples=300, deadline=None)
@given(_STEPS)
def test_nobody_waits_longer_than_twice_what_was_before_and_himself(
    steps: Sequence[tuple[list[int], bool] | int | None],
) -> None:
    """Whatever comes later, and whoever leaves: `Queue.take` checks each request."""
    queue = Queue()
    for step in steps:
        if isinstance(step, tuple):
            queue.add(*step[0], hurried=step[1])
        elif step is not None:
            queue.drop(step)
        elif len(queue.waiting):
            queue.take()
    while len(queue.waiting):
        queue.take()
    assert {} == queue.came
    assert 0 == queue.waiting.tokens


@settings(max_examples=40, deadline=None)
@given(_LENGTHS, st.lists(_LENGTHS, min_size=1, max_size=4), st.booleans(), st.booleans())
def test_nobody_waits_longer_under_an_endless_stream(
    first: list[int], stream: list[list[int]], hurried: bool, old: bool
) -> None:
    """As above, where more comes than is computed for as long as anybody of the first waits."""
    queue = Queue()
    if old:
        queue.add(*[100] * 50)
    for job in [queue.add(*first, hurried=hurried) for _ in range(2)]:
        if job not in queue.waited:
            queue.take_until_done(job, *map(tuple, stream))


# What that leaves to the others


def test_short_requests_still_go_first() -> None:
    """A few that come together are all served before a large one that came earlier."""
    queue = Queue()
    queue.add(*[100] * 20)
    short = [queue.add(90) for _ in range(4)]
    assert short == [queue.take()[0] for _ in short]


def test_short_requests_get_half_beside_a_large_one() -> None:
    """However many come, neither side is given less."""
    queue = Queue()
    large = queue.add(*[100] * 40)
    turns = []
    for _ in range(60):
        queue.add(100)
        turns.append(queue.take()[0] is large)
    assert [True, False] * 20 == turns[-40:] or [False, True] * 20 == turns[-40:]


def test_batches_stay_full_when_the_oldest_is_due() -> None:
    """What came next joins the oldest request, as far as lengths are similar."""
    queue = Queue()
    queue.add(*[100] * 3)
    for _ in range(200):
        queue.add(10)
    sizes = []
    while len(queue.waiting):
        sizes.append(len(queue.take()))
    assert [10] * 20 == [size for size in sizes if size > 1]


def test_no_more_joins_the_oldest_out_of_turn_than_it_has_itself() -> None:
    """Where it is due: many long rides with tiny oldest requests would be overtaking, too."""
    queue = Queue()
    queue.add(4)
    queue.add(90)
    for _ in range(10):
        queue.add(4)
    queue.waiting._all._overtaking_tokens = 2 * _HEAD_START_TOKENS
    assert 2 == len(queue.take())


@pytest.mark.parametrize("others", [1, 2, 3, 8, 16])
def test_whoever_comes_waits_for_one_batch_of_each_however_long_they_have_run(others: int) -> None:
    """Half of the time that is their turns, the other half is that of the oldest."""
    queue = Queue()
    for _ in range(others):
        queue.add(*[100] * 2000)
    waits = []
    for _ in range(10):
        for _ in range(100):
            queue.take()
        waits.append(queue.take_until_done(queue.add(100)))
    assert max(waits) <= 2 * (others + 1) * _BATCH_TOKENS + _HEAD_START_TOKENS


@pytest.mark.parametrize("others", [2, 3, 8])
def test_bulk_work_that_comes_later_gets_no_more_than_others(others: int) -> None:
    """It starts where they are, not where they began."""
    queue = Queue()
    jobs = [queue.add(*[100] * 2000) for _ in range(others)]
    for _ in range(200 * others):
        queue.take()
    late = queue.add(*[100] * 2000)
    before = [job.waiting_tokens for job in jobs]
    for _ in range(100 * others):
        queue.take()
    given = [most - job.waiting_tokens for job, most in zip(jobs, before, strict=True)]
    assert late.waiting_tokens < 2000 * 100
    assert 200_000 - late.waiting_tokens <= min(given[1:]) + 3 * _BATCH_TOKENS
    assert min(given[1:]) <= 200_000 - late.waiting_tokens + 3 * _BATCH_TOKENS


# Queries beside bulk work


def test_a_query_does_not_run_with_bulk_work() -> None:
    """Though it would fit: the run would take longer for the query."""
    queue = Queue()
    bulk = queue.add(*[10] * 100)
    query = queue.add(10)
    assert queue.waiting._heap[0] is query
    assert [query] == queue.take()
    assert [bulk] == queue.take()


def test_a_query_joins_bulk_work_whose_turn_it_is() -> None:
    """Where nothing else computes it, that costs the query nothing: it would wait for this run."""
    queue = Queue()
    bulk = queue.add(*[10] * 15)
    queue.waiting.take(_BATCH_TOKENS)
    bulk.virtual_finish = -1.0
    query = queue.add(10)
    assert [bulk, query] == queue.take()


def test_a_query_is_left_to_the_express_thread_by_bulk_work_whose_turn_it_is() -> None:
    """What is too long for that joins."""
    queue = Queue()
    bulk = queue.add(*[10] * 15)
    queue.waiting.take(_BATCH_TOKENS)
    bulk.virtual_finish = -1.0
    short = queue.add(9)
    long = queue.add(10)
    parts = queue.waiting.take(_BATCH_TOKENS, express_tokens=9)
    assert [part.job for part in parts] == [bulk, long]
    assert [part.job for part in queue.waiting.take_short(9)] == [short]


@pytest.mark.parametrize("queries", [1, 50])
def test_queries_that_were_done_do_not_hold_up_the_next(queries: int) -> None:
    """Bulk work has all for itself when they are gone, so it is owed nothing."""
    queue = Queue()
    bulk = queue.add(*[100] * 200)
    for _ in range(queries):
        query = queue.add(10)
        assert [query] == queue.take()
        assert [bulk] == queue.take()
    query = queue.add(99)
    assert [query] == queue.take()


def test_queries_without_a_pause_do_not_starve_bulk_work() -> None:
    """It is owed its share as long as it has not had one turn alone."""
    queue = Queue()
    bulk = queue.add(*[100] * 200)
    for _ in range(100):
        queue.add(50)
        queue.take()
    assert 200 * 100 - bulk.waiting_tokens >= 100 * 50 / 3


def test_short_requests_are_taken_before_bulk_work_whose_turn_it_is() -> None:
    """By their turns among each other, and no part of the bulk with them."""
    queue = Queue()
    bulk = queue.add(*[10] * 100)
    late = queue.add(60)
    soon = queue.add(20)
    bulk.virtual_finish = -1.0
    assert [part.job for part in queue.waiting.take_short(70)] == [soon]
    assert [part.job for part in queue.waiting.take_short(70)] == [late]
    assert queue.waiting.take_short(70) == []
    assert bulk.waiting_tokens == 1000


def test_a_request_over_the_size_is_not_short() -> None:
    queue = Queue()
    job = queue.add(71)
    assert queue.waiting.take_short(70) == []
    assert [part.job for part in queue.waiting.take_short(71)] == [job]


# What is promised


def test_the_promise_counts_what_may_overtake() -> None:
    """Twice what waits and the request itself, and the head start."""
    queue = Queue()
    queue.add(*[100] * 3)
    within = 2 * (300 + 500) + _HEAD_START_TOKENS
    assert queue.waiting.is_in_time(500, within)
    assert not queue.waiting.is_in_time(500, within - 2)


def test_a_hurried_request_does_not_wait_for_a_large_one() -> None:
    """Only other hurried ones and itself count."""
    queue = Queue()
    queue.add(*[100] * 500)
    assert queue.waiting.is_in_time_if_hurried(5, 4 * 5 + 2 * _HEAD_START_TOKENS)
    queue.add(100, hurried=True)
    assert not queue.waiting.is_in_time_if_hurried(5, 4 * 5 + 2 * _HEAD_START_TOKENS)
    assert queue.waiting.is_in_time_if_hurried(5, 4 * 105 + 2 * _HEAD_START_TOKENS)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(_LENGTHS, st.booleans()), min_size=1, max_size=20),
    st.integers(1, 500),
    st.integers(-100, 9000),
)
def test_after_what_was_too_much_a_request_is_in_time(
    requests: list[tuple[list[int], bool]], tokens: int, within: int
) -> None:
    """If nobody else comes; at the latest when nobody waits any more."""
    queue = Queue()
    waiting = queue.waiting
    for lengths, hurried in requests:
        queue.add(*lengths, hurried=hurried)
    too_many = waiting.tokens_too_many(tokens, within) + _SLACK_TOKENS
    while len(waiting) and queue.taken < too_many:
        queue.take()
    assert (
        not len(waiting)
        or waiting.is_in_time(tokens, within)
        or waiting.is_in_time_if_hurried(tokens, within)
    )


def test_where_little_waits_no_full_head_start_is_expected() -> None:
    """Small batches are slow for their size: 65,536 tokens at their speed would take minutes."""
    waiting = Waiting(BatchLimits(max_batch_tokens=16_384, max_batch_sequences=50, max_padding=0.1))
    waiting.add(job_of(10))
    assert waiting.is_in_time(10, 2 * 20 + 20)
    assert not waiting.is_in_time(10, 2 * 20 + 19)
