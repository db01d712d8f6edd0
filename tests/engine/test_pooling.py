from __future__ import annotations

import numpy as np
import pytest

from engine.pooling import pool
from engine.types import BackendOutput, FloatArray, Pooling

SHORT: FloatArray = np.array([[1, -2], [3, 4]], dtype=np.float32)
LONG: FloatArray = np.array([[0, 1], [10, 20], [-1, 0], [7, 3]], dtype=np.float32)


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [
        (Pooling.CLS, [[1, -2], [0, 1]]),
        (Pooling.MEAN, [[2, 1], [4, 6]]),
        (Pooling.LAST_TOKEN, [[3, 4], [7, 3]]),
    ],
)
def test_each_sequence_is_pooled_over_its_own_tokens(
    pooling: Pooling, expected: list[list[float]]
) -> None:
    """Sequences of different lengths in one batch are pooled exactly, each by itself."""
    pooled = pool(BackendOutput(token_vectors=(SHORT, LONG)), pooling)
    assert expected == pooled.tolist()


@pytest.mark.parametrize("pooling", list(Pooling))
def test_one_token_is_its_own_pooled_vector(pooling: Pooling) -> None:
    """All poolings agree on a sequence of one token."""
    assert [[1, -2]] == pool(BackendOutput(token_vectors=(SHORT[:1],)), pooling).tolist()


@pytest.mark.parametrize("pooling", list(Pooling))
def test_pooling_does_not_depend_on_the_neighbours(pooling: Pooling) -> None:
    """A sequence's vector is the same alone and in a batch, bit by bit."""
    random = np.random.default_rng(5)
    sequences = tuple(
        random.standard_normal((tokens, 16), dtype=np.float32) for tokens in (3, 200, 1, 17)
    )
    together = pool(BackendOutput(token_vectors=sequences), pooling)
    alone = [pool(BackendOutput(token_vectors=(one,)), pooling)[0] for one in sequences]
    np.testing.assert_array_equal(np.stack(alone), together)


def test_the_mean_of_a_long_sequence_is_accurate() -> None:
    """8192 tokens around an offset are averaged to within 1e-5 of the true mean's size."""
    vectors: FloatArray = (
        np.random.default_rng(7).standard_normal((8192, 8), dtype=np.float32) + 1000
    )
    pooled = pool(BackendOutput(token_vectors=(vectors,)), Pooling.MEAN)
    np.testing.assert_allclose(vectors.astype(np.float64).mean(axis=0), pooled[0], rtol=1e-5)


def test_what_the_runtime_pooled_is_left_alone() -> None:
    """A backend that pools by itself is believed."""
    assert SHORT.tolist() == pool(BackendOutput(pooled=SHORT), Pooling.MEAN).tolist()


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
@pytest.mark.parametrize("pooling", list(Pooling))
def test_pooled_vectors_are_float32(dtype: type, pooling: Pooling) -> None:
    """Whatever precision the runtime computes in, one type leaves here."""
    vectors: FloatArray = LONG.astype(dtype)
    outputs = [BackendOutput(token_vectors=(vectors,)), BackendOutput(pooled=vectors)]
    assert [np.float32] * 2 == [pool(output, pooling).dtype for output in outputs]


@pytest.mark.parametrize("pooling", list(Pooling))
def test_pooled_vectors_do_not_keep_the_token_vectors(pooling: Pooling) -> None:
    """The token vectors of a batch can be freed while a request waits for its others."""
    pooled = pool(BackendOutput(token_vectors=(LONG,)), pooling)
    assert not np.shares_memory(LONG, pooled)
