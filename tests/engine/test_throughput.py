from __future__ import annotations

import pytest

from engine.throughput import UNUSUAL, Throughput


def test_nothing_is_known_before_the_first_batch() -> None:
    throughput = Throughput()
    assert throughput.tokens_per_second is None
    assert throughput.seconds_for(10) is None


def test_it_is_the_speed_of_the_batches() -> None:
    throughput = Throughput()
    for _ in range(3):
        throughput.add(100, 2.0)
    assert 50.0 == pytest.approx(throughput.tokens_per_second)
    assert 1.0 == pytest.approx(throughput.seconds_for(50))


def test_a_batch_that_hung_is_soon_forgotten() -> None:
    """As if it had taken 20 times as long, not ten minutes."""
    throughput = Throughput()
    throughput.add(100, 0.1)
    throughput.add(100, 600.0)
    expected = 200 * 0.95 / (0.9 * 0.1 + UNUSUAL * 0.1)
    assert expected == pytest.approx(throughput.tokens_per_second)


def test_a_first_batch_that_hung_is_forgotten_with_the_next_one() -> None:
    throughput = Throughput()
    throughput.add(4, 5.0)
    throughput.add(100, 0.1)
    assert 1000.0 == pytest.approx(throughput.tokens_per_second)


def test_a_runtime_that_is_slow_from_now_on_is_believed_after_a_few_batches() -> None:
    """Also one that is a thousand times slower."""
    throughput = Throughput()
    throughput.add(100, 0.1)
    for _ in range(50):
        throughput.add(100, 100.0)
    assert 1.0 == pytest.approx(throughput.tokens_per_second, rel=0.01)


def test_small_batches_count_only_until_there_is_a_full_one() -> None:
    """However many they are: they take longer for their tokens."""
    throughput = Throughput(full_tokens=50)
    for _ in range(60):
        throughput.add(10, 1.0)
    assert 10.0 == pytest.approx(throughput.tokens_per_second)
    throughput.add(50, 0.5)
    throughput.add(49, 10.0)
    assert 100.0 == pytest.approx(throughput.tokens_per_second)
    throughput.add(50, 1.0)
    assert 50 < (throughput.tokens_per_second or 0) < 100
