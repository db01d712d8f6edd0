from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.backends.rows import Place, Rows, one_a_row, share_rows

WIDEST = 256
lengths_strategy = st.lists(st.integers(1, 300), min_size=1, max_size=60)


def size(lengths: list[int]) -> tuple[int, int]:
    rows = share_rows(lengths, widest=WIDEST)
    return rows.number, rows.width


@given(lengths_strategy)
def test_no_two_sequences_share_a_token(lengths: list[int]) -> None:
    taken = [
        (row, token)
        for (row, start), length in zip(
            share_rows(lengths, widest=WIDEST).places, lengths, strict=True
        )
        for token in range(start, start + length)
    ]
    assert len(set(taken)) == sum(lengths)


@given(lengths_strategy)
def test_the_rows_are_as_many_and_as_long_as_they_say(lengths: list[int]) -> None:
    rows = share_rows(lengths, widest=WIDEST)
    places = zip(rows.places, lengths, strict=True)
    assert {place.row for place in rows.places} == set(range(rows.number))
    assert max(start + length for (_, start), length in places) == rows.width


@given(lengths_strategy)
def test_no_row_is_too_long_unless_a_sequence_is(lengths: list[int]) -> None:
    assert share_rows(lengths, widest=WIDEST).width <= max(WIDEST, *lengths)


@given(lengths_strategy)
def test_they_cost_no_more_than_one_row_or_one_for_each(lengths: list[int]) -> None:
    cost = share_rows(lengths, widest=WIDEST).cost
    assert cost <= one_a_row(lengths).cost
    if sum(lengths) <= WIDEST:
        assert cost <= Rows(1, sum(lengths), []).cost


def test_equal_lengths_have_a_row_each() -> None:
    """Nothing is padded so, and no row could be shorter."""
    assert (4, 64) == size([64] * 4)


def test_different_lengths_share_a_row_rather_than_being_padded() -> None:
    assert (1, 64) == size([5, 9, 20, 30])


def test_short_ones_fill_up_the_rows_of_long_ones() -> None:
    assert (2, 200) == size([200, 150, 50])


def test_in_a_row_of_its_own_each_begins_at_the_first_token() -> None:
    assert Rows(2, 5, [Place(0, 0), Place(1, 0)]) == one_a_row([3, 5])
