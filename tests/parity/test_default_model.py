"""The default model against sentence-transformers on torch, and against itself in batches."""

from __future__ import annotations

import numpy as np
import pytest

from engine import Engine, Truncate
from engine.errors import ForeignTokenIdsError, InputTooLongError
from engine.golden import GoldenSet, closeness
from tests.parity.batches import MAX_ABS_DIFF_IN_BATCHES, difference_in_batches

pytestmark = pytest.mark.model

MIN_COSINE = 0.99999
MAX_ABS_DIFF_TO_TORCH = 1e-4


def test_at_least_sixty_texts_of_all_lengths(torch_golden: GoldenSet) -> None:
    """The reference covers at least 60 texts, from one token to the model's limit of 256."""
    lengths = {text.input_ids.size for text in torch_golden.texts}
    assert len(torch_golden.texts) >= 60
    assert min(lengths) <= 3
    assert max(lengths) == 256


def test_token_ids_are_the_reference_tokenizers(
    default_engine: Engine, torch_golden: GoldenSet
) -> None:
    """Every golden text has exactly the reference's ids."""
    ours = default_engine.tokenizer.encode([text.text for text in torch_golden.texts])
    assert [text.input_ids.tolist() for text in torch_golden.texts] == [
        encoding.input_ids.tolist() for encoding in ours
    ]


def test_each_vector_is_that_of_torch(default_engine: Engine, torch_golden: GoldenSet) -> None:
    """Alone, each text's full vector is torch's: cosine >= 0.99999, max abs diff <= 1e-4."""
    vectors = np.concatenate(
        [default_engine.embed(text.text).vectors for text in torch_golden.texts]
    )
    found = closeness(torch_golden.vectors, vectors)
    assert found.min_cosine >= MIN_COSINE
    assert found.max_abs_diff <= MAX_ABS_DIFF_TO_TORCH
    assert found.top10_agreement == 1.0


def test_vectors_have_unit_length(default_engine: Engine, torch_golden: GoldenSet) -> None:
    """The default model normalises."""
    vectors = default_engine.embed([text.text for text in torch_golden.texts]).vectors
    assert np.ones(len(vectors)) == pytest.approx(np.linalg.norm(vectors, axis=1), abs=1e-6)


@pytest.mark.parametrize("seed", range(8))
def test_a_vector_does_not_depend_on_its_batch(
    default_engine: Engine, torch_golden: GoldenSet, seed: int
) -> None:
    """Alone or among any others, in any order: max abs diff <= 1e-5."""
    texts = [text.text for text in torch_golden.texts]
    assert difference_in_batches(default_engine, texts, seed) <= MAX_ABS_DIFF_IN_BATCHES


def test_equal_texts_in_one_request_have_identical_vectors(default_engine: Engine) -> None:
    """Not one bit differs, wherever in the request they stand."""
    vectors = default_engine.embed(["same", "other " * 50, "same"]).vectors
    assert vectors[0].tobytes() == vectors[2].tobytes()


def test_ids_embed_like_their_text_and_bare_ones_are_refused(default_engine: Engine) -> None:
    """Ids without special tokens may be another tokenizer's."""
    text = "the quick brown fox"
    framed = default_engine.tokenizer.encode(text)[0].input_ids.tolist()
    expected = default_engine.embed(text).vectors
    assert np.array_equal(expected, default_engine.embed(framed).vectors)
    with pytest.raises(ForeignTokenIdsError):
        default_engine.embed(framed[1:-1])


def test_nothing_is_cut_silently(default_engine: Engine) -> None:
    """One token over the limit is refused, with both numbers."""
    with pytest.raises(InputTooLongError) as caught:
        default_engine.embed("word " * 255)
    assert (257, 256) == (caught.value.tokens, caught.value.limit)


@pytest.mark.parametrize(
    ("truncate", "kept"), [(Truncate.END, "a " * 254), (Truncate.START, "a " * 253 + "b")]
)
def test_a_cut_keeps_the_asked_for_end(
    default_engine: Engine, truncate: Truncate, kept: str
) -> None:
    """A cut text has the vector of the part that is kept."""
    result = default_engine.embed("a " * 300 + "b", truncate=truncate)
    assert result.truncated == (0,)
    assert result.usage.prompt_tokens == 256
    assert np.array_equal(default_engine.embed(kept).vectors, result.vectors)
