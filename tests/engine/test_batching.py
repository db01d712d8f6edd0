from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from engine.batching import BatchLimits, plan_batches

lengths_strategy = st.lists(st.integers(1, 600), max_size=60)
budgets = st.integers(1, 4096)
counts = st.integers(1, 40)
shares = st.floats(0, 0.99)


@given(lengths_strategy, budgets, counts, shares)
def test_every_sequence_is_in_exactly_one_batch(
    lengths: list[int], budget: int, count: int, share: float
) -> None:
    """Nothing is lost and nothing is computed twice."""
    batches = plan_batches(lengths, BatchLimits(budget, count, share))
    assert list(range(len(lengths))) == sorted(index for batch in batches for index in batch)


@given(lengths_strategy, budgets, counts, shares)
def test_a_batch_stays_within_its_tokens(
    lengths: list[int], budget: int, count: int, share: float
) -> None:
    """Longest times number is within the budget, unless one sequence alone is longer."""
    for batch in plan_batches(lengths, BatchLimits(budget, count, share)):
        computed = max(lengths[index] for index in batch) * len(batch)
        assert computed <= budget or len(batch) == 1


@given(lengths_strategy, budgets, counts, shares)
def test_a_batch_stays_within_its_sequences(
    lengths: list[int], budget: int, count: int, share: float
) -> None:
    """No batch has more sequences than the backend takes, and none is empty."""
    batches = plan_batches(lengths, BatchLimits(budget, count, share))
    assert all(1 <= len(batch) <= count for batch in batches)


@given(lengths_strategy, budgets, counts, shares)
def test_padding_stays_within_its_share(
    lengths: list[int], budget: int, count: int, share: float
) -> None:
    """The padded part of what a batch computes is at most the share."""
    for batch in plan_batches(lengths, BatchLimits(budget, count, share)):
        computed = max(lengths[index] for index in batch) * len(batch)
        padding = computed - sum(lengths[index] for index in batch)
        assert padding <= share * computed + 1e-9


@given(lengths_strategy, budgets, counts, shares)
def test_the_longest_sequences_come_first(
    lengths: list[int], budget: int, count: int, share: float
) -> None:
    """Lengths never grow, within a batch and from one to the next."""
    batches = plan_batches(lengths, BatchLimits(budget, count, share))
    order = [lengths[index] for batch in batches for index in batch]
    assert all(before >= after for before, after in pairwise(order))


@given(lengths_strategy, budgets, counts)
def test_without_padding_only_equal_lengths_share_a_batch(
    lengths: list[int], budget: int, count: int
) -> None:
    """A share of 0 means none, not almost none."""
    batches = plan_batches(lengths, BatchLimits(budget, count, 0))
    assert all(len({lengths[index] for index in batch}) == 1 for batch in batches)


@given(st.lists(st.integers(1, 50), max_size=40))
def test_batches_are_as_full_as_the_limits_allow(lengths: list[int]) -> None:
    """Two neighbouring batches could never have been one."""
    batches = plan_batches(lengths, BatchLimits(100, 5, 0.5))
    for batch, following in pairwise(batches):
        together = [*batch, following[0]]
        computed = lengths[batch[0]] * len(together)
        padding = 1 - sum(lengths[index] for index in together) / computed
        assert len(together) > 5 or computed > 100 or padding > 0.5


@given(lengths_strategy, budgets, counts)
def test_where_nothing_is_padded_all_lengths_run_together(
    lengths: list[int], budget: int, count: int
) -> None:
    """A batch takes the next one unless that is one too many, or its tokens are."""
    batches = plan_batches(lengths, BatchLimits(budget, count, None))
    for batch, following in pairwise(batches):
        together = [*batch, following[0]]
        assert len(together) > count or sum(lengths[index] for index in together) > budget
    for batch in batches:
        assert len(batch) == 1 or sum(lengths[index] for index in batch) <= budget


def test_equal_lengths_run_together() -> None:
    """Sequences that need no padding fill one batch, in the order they came."""
    assert [[0, 1, 2, 3]] == plan_batches([7, 7, 7, 7], BatchLimits(28, 4, 0))


def test_a_sequence_over_the_budget_runs_alone() -> None:
    """The budget never refuses a sequence."""
    assert [[1], [0, 2]] == plan_batches([5, 11, 5], BatchLimits(10, 8, 0.5))


def test_no_sequences_make_no_batches() -> None:
    """Nothing in, nothing out."""
    assert [] == plan_batches([], BatchLimits(1, 1, 0))
