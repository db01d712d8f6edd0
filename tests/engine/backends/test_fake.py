from __future__ import annotations

import numpy as np
import pytest

from engine.backends.fake import FakeBackend
from engine.errors import BackendError
from engine.types import Batch, FloatArray
from tests.engine.making import encoding, failing


def token_vectors(backend: FakeBackend, batch: Batch) -> tuple[FloatArray, ...]:
    vectors = backend.run(batch).token_vectors
    assert vectors is not None
    return vectors


def test_it_gives_one_vector_a_token() -> None:
    """Ragged sequences come back ragged, in their order, as float32."""
    vectors = token_vectors(FakeBackend(5), Batch((encoding(2, 4, 3), encoding(7))))
    assert [((3, 5), np.dtype(np.float32)), ((1, 5), np.dtype(np.float32))] == [
        (one.shape, one.dtype) for one in vectors
    ]


def test_a_vector_depends_on_its_own_sequence_only() -> None:
    """Neighbours and order change nothing."""
    first, second = encoding(2, 4, 3), encoding(2, 9, 9, 3)
    together = token_vectors(FakeBackend(), Batch((second, first)))
    np.testing.assert_array_equal(token_vectors(FakeBackend(), Batch((first,)))[0], together[1])


def test_ids_and_their_places_tell_vectors_apart() -> None:
    """Another id, or the same ids in another order, has other vectors."""
    batch = Batch((encoding(4, 5), encoding(4, 6), encoding(5, 4)))
    sums = [one.sum(axis=0).tolist() for one in token_vectors(FakeBackend(), batch)]
    assert 3 == len({tuple(one) for one in sums})


def test_it_keeps_what_was_run() -> None:
    """Tests can see how work was grouped."""
    backend, batch = FakeBackend(), Batch((encoding(4),))
    backend.run(batch)
    assert [batch] == backend.batches


def test_a_run_can_be_made_to_fail() -> None:
    """What `before_run` raises is raised, and nothing counts as run."""
    backend = FakeBackend(before_run=failing(BackendError("broken")))
    with pytest.raises(BackendError, match="broken"):
        backend.run(Batch((encoding(4),)))
    assert [] == backend.batches


def test_running_after_closing_is_an_error() -> None:
    """It keeps the contract of a backend."""
    backend = FakeBackend()
    backend.close()
    backend.close()
    with pytest.raises(BackendError, match="closed"):
        backend.run(Batch((encoding(4),)))
