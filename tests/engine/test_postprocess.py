from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from engine.errors import NonFiniteError
from engine.postprocess import cut, finish
from engine.types import FloatArray

VECTORS: FloatArray = np.array([[3, 4, 12], [-8, 6, 0]], dtype=np.float32)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_one_bad_number_names_its_vector(bad: float) -> None:
    """NaN and infinity are never sent; the error says whose they are."""
    vectors = np.ones((4, 3), dtype=np.float32)
    vectors[1, 2] = vectors[3, 0] = bad
    with pytest.raises(NonFiniteError) as caught:
        finish(vectors, normalize=False)
    assert (1, 3) == caught.value.indices


def test_a_null_vector_is_refused() -> None:
    """A vector without direction has no cosine."""
    with pytest.raises(NonFiniteError) as caught:
        finish(np.array([[0, 1], [0, 0]], dtype=np.float32), normalize=False)
    assert (1,) == caught.value.indices


@pytest.mark.parametrize("magnitude", [1e-45, 1e-30, 1e19, 3e38])
def test_a_vector_of_any_finite_magnitude_is_taken(magnitude: float) -> None:
    """Squares that leave float32's range do not make a vector bad."""
    finish(np.full((1, 384), magnitude, dtype=np.float32), normalize=False)


def test_rows_are_scaled_to_length_one() -> None:
    """Each row is divided by its own length."""
    expected = [[3 / 13, 4 / 13, 12 / 13], [-0.8, 0.6, 0]]
    np.testing.assert_allclose(expected, finish(VECTORS, normalize=True), rtol=0, atol=1e-7)


@pytest.mark.parametrize("normalize", [True, False])
def test_a_cut_vector_has_length_one_even_where_full_ones_do_not(normalize: bool) -> None:
    """`dimensions` means cut, then L2-normalised, whatever the model does otherwise."""
    expected = [[0.6, 0.8], [-0.8, 0.6]]
    found = cut(finish(VECTORS, normalize=normalize), dimensions=2)
    np.testing.assert_allclose(expected, found, rtol=0, atol=1e-7)


def test_a_vector_of_which_all_is_kept_is_not_scaled() -> None:
    """Neither anew, nor at all where the model gives raw vectors."""
    assert VECTORS.tolist() == cut(VECTORS, dimensions=3).tolist()


def test_a_model_without_normalisation_gives_its_raw_vectors() -> None:
    """Full vectors of such a model are not scaled."""
    assert VECTORS.tolist() == finish(VECTORS, normalize=False).tolist()


@pytest.mark.parametrize("magnitude", [1e-45, 1e-41, 1e-30, 1e-20, 1e19, 1e30, 3e38])
def test_length_one_at_any_magnitude(magnitude: float) -> None:
    """Tiny and huge vectors keep their direction: nothing over- or underflows on the way."""
    vectors = np.full((1, 4), magnitude, dtype=np.float32)
    np.testing.assert_allclose([[0.5] * 4], finish(vectors, normalize=True), rtol=0, atol=1e-7)


def test_a_vector_that_is_null_after_cutting_is_refused() -> None:
    """A vector of zeros is never an answer."""
    vectors = np.array([[1, 0, 0], [0, 0, 1]], dtype=np.float32)
    with pytest.raises(NonFiniteError) as caught:
        cut(vectors, dimensions=2)
    assert (1,) == caught.value.indices


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("vectors", [VECTORS, np.asfortranarray(VECTORS), VECTORS[::-1]])
def test_the_result_is_contiguous_float32(
    dimensions: int, normalize: bool, vectors: FloatArray
) -> None:
    """What leaves can be sent as bytes as it is."""
    finished = cut(finish(vectors, normalize=normalize), dimensions=dimensions)
    assert ((2, dimensions), np.dtype(np.float32), True) == (
        finished.shape,
        finished.dtype,
        finished.flags.c_contiguous,
    )


def test_the_given_vectors_are_not_changed() -> None:
    """Normalising works on a copy."""
    vectors = VECTORS.copy()
    finish(vectors, normalize=True)
    assert VECTORS.tolist() == vectors.tolist()


@given(
    arrays.arrays(
        np.float32,
        st.tuples(st.integers(1, 4), st.integers(1, 8)),
        elements=st.floats(width=32, allow_nan=False, allow_infinity=False),
    ).filter(lambda vectors: bool(vectors.any(axis=1).all()))
)
def test_whatever_is_not_refused_has_length_one(vectors: FloatArray) -> None:
    """Every finite vector that is not null is normalised."""
    finished = finish(vectors, normalize=True)
    lengths = np.linalg.norm(finished.astype(np.float64), axis=1)
    np.testing.assert_allclose(1, lengths, rtol=0, atol=1e-6)
