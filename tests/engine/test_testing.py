from __future__ import annotations

import numpy as np
import pytest

from engine.backends.fake import FakeBackend
from engine.config import EngineConfig
from engine.errors import TooManyInputsError
from engine.testing import SPECIAL_IDS, fake_engine, fake_tokenizer


def test_one_token_a_word() -> None:
    """Tests can count tokens by words: one each, and two around them."""
    assert 5 == len(fake_tokenizer().encode("The cat sat").ids)


def test_a_word_that_is_not_known_is_one_token() -> None:
    """Any text will do in a test."""
    assert [SPECIAL_IDS[name] for name in ("[CLS]", "[UNK]", "[SEP]")] == (
        fake_tokenizer().encode("embedding").ids
    )


@pytest.mark.parametrize("inline", [True, False])
def test_a_fake_engine_embeds(inline: bool) -> None:
    """It is a whole engine but for the model."""
    with fake_engine(dimensions=6, inline=inline) as engine:
        vectors = engine.embed(["the cat", "a dog"]).vectors
    assert (2, 6) == vectors.shape
    np.testing.assert_allclose(1, np.linalg.norm(vectors, axis=1), rtol=0, atol=1e-6)


def test_a_fake_engine_honours_its_options() -> None:
    """Limits can be tested with it."""
    with (
        fake_engine(config=EngineConfig(max_client_batch_size=1)) as engine,
        pytest.raises(TooManyInputsError),
    ):
        engine.embed(["the", "cat"])


def test_what_a_fake_engine_ran_can_be_seen() -> None:
    """Tests look at the batches of its backend."""
    with fake_engine() as engine:
        engine.embed("the cat")
        assert isinstance(engine.backend, FakeBackend)
        assert [4] == [batch.tokens for batch in engine.backend.batches]
