from __future__ import annotations

import numpy as np
import pytest

from engine.errors import IntegrityError, ManifestError
from engine.export.token_samples import sample_tokens
from tests.engine.export.small_models import CHECKPOINTS, SMALL


@pytest.mark.parametrize("name", SMALL)
def test_samples_are_ids_of_the_vocabulary_within_the_special_tokens(name: str) -> None:
    """Of each kind of tokenizer; the same every time."""
    text = (CHECKPOINTS / name / "tokenizer.json").read_text("utf-8")
    first, second = (
        sample_tokens(text, vocabulary_size=2000, max_input_tokens=70) for _ in range(2)
    )
    special = first[0].ids[0]
    lengths = [sample.ids.shape[1] - special.size for sample in first]
    assert lengths == [0, 1, 2, 4, 8, 16, 32, 64]
    for sample, again in zip(first, second, strict=True):
        np.testing.assert_array_equal(sample.ids, again.ids)
        assert 0 <= sample.ids.min()
        assert sample.ids.max() < 2000
        assert (sample.ids[:, 0] == special[0]).all()
        assert (sample.ids[:, -1] == special[-1]).all()


def test_half_of_the_sequences_are_of_neighbours() -> None:
    text = (CHECKPOINTS / SMALL[0] / "tokenizer.json").read_text("utf-8")
    longest = sample_tokens(text, vocabulary_size=30_000, max_input_tokens=70)[-1].ids[:, 1:-1]
    spans = longest.max(axis=1) - longest.min(axis=1)
    assert (spans[:32] < 64).all()
    assert (spans[32:] > 10_000).all()


def test_a_limit_without_room_and_an_id_outside_are_refused() -> None:
    text = (CHECKPOINTS / SMALL[0] / "tokenizer.json").read_text("utf-8")
    with pytest.raises(IntegrityError, match="no room"):
        sample_tokens(text, vocabulary_size=2000, max_input_tokens=2)
    with pytest.raises(IntegrityError, match="token ids"):
        sample_tokens(text, vocabulary_size=1, max_input_tokens=70)
    with pytest.raises(ManifestError, match="can't be read"):
        sample_tokens("{}", vocabulary_size=2000, max_input_tokens=70)
