from __future__ import annotations

import numpy as np
import pytest

from engine.types import BackendOutput, Batch, Usage
from tests.engine.making import encoding


def test_a_backend_output_needs_one_kind_of_vectors() -> None:
    """A backend that returns nothing is a fault of that backend."""
    with pytest.raises(ValueError, match="either"):
        BackendOutput()


def test_a_backend_output_has_only_one_kind_of_vectors() -> None:
    """Token vectors and pooled ones at once would be ambiguous."""
    vectors = np.ones((1, 2), dtype=np.float32)
    with pytest.raises(ValueError, match="either"):
        BackendOutput(token_vectors=(vectors,), pooled=vectors)


def test_a_batch_counts_tokens_without_padding() -> None:
    """Ragged sequences count as what they are."""
    assert 4 == Batch((encoding(1, 2, 3), encoding(4))).tokens


def test_an_embedding_generates_no_tokens() -> None:
    """The total is the prompt's."""
    assert 7 == Usage(prompt_tokens=7).total_tokens
