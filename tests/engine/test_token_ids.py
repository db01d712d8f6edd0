"""Which token ids are a model's own, and what is embedded of them."""

from __future__ import annotations

import numpy as np
import pytest
import tokenizers
from tokenizers.processors import TemplateProcessing

from engine.errors import EmptyInputError, ForeignTokenIdsError, TokenIdError
from engine.testing import fake_tokenizer
from engine.tokenizer import Tokenizer
from engine.types import TokenIds, Truncate
from tests.engine.making import make_tokenizer
from tests.engine.tokenizer_kinds import KINDS, awkward_text, kind

THE, A, CAT, DOG, SAT, ON = 4, 5, 6, 7, 8, 9
CLS, SEP = 2, 3
PROMPTS = {"query": "query: ", "document": "the cat and "}
CURES = ("--token-ids cl100k_base", "check_embedding_ctx_length=False")


def _framed(opening: str | None, closing: str | None, *, first_id: int = 2) -> Tokenizer:
    """Words between two special tokens, of which the first has an id that tiktoken gives, too."""
    raw = fake_tokenizer()
    template = " ".join(filter(None, [opening, "$A", closing]))
    special = [(token, first_id + at) for at, token in enumerate(filter(None, [opening, closing]))]
    if first_id != CLS:
        raw.add_special_tokens([f"filler{number}" for number in range(first_id - 16)])
        raw.add_special_tokens([token for token, _ in special])
    raw.post_processor = TemplateProcessing(single=template, special_tokens=special)
    return make_tokenizer(raw, max_input_tokens=8, vocabulary_size=200)


def _ids(tokenizer: Tokenizer, *ids: int) -> list[int]:
    return [int(i) for i in tokenizer.encode(list(ids))[0].input_ids]


def _tokenizer_of(name: str, *, bare: bool = False) -> Tokenizer:
    raw = tokenizers.Tokenizer.from_str(kind(name).to_str())
    if bare:
        raw.post_processor = TemplateProcessing(single="$A", special_tokens=[])
    return make_tokenizer(
        raw,
        vocabulary_size=raw.get_vocab_size(),
        prompts=PROMPTS,
        max_input_tokens=64,
        max_client_batch_size=64,
        max_request_tokens=64 * 64,
    )


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("truncate", list(Truncate))
@pytest.mark.parametrize("prompt_name", [None, "query", "document"])
@pytest.mark.parametrize("bare", [False, True])
def test_what_the_tokenizer_made_of_a_text_is_embedded_as_that_text(
    name: str, truncate: Truncate, prompt_name: str | None, bare: bool
) -> None:
    """No special token and no prompt is added twice, and nothing is refused, cut or not."""
    tokenizer = _tokenizer_of(name, bare=bare)
    longest = 20 if truncate is Truncate.NONE else 200
    texts = ["the cat", *(awkward_text(longest, seed) for seed in range(40))]
    made = tokenizer.encode(texts, truncate=truncate, prompt_name=prompt_name)
    ids = [row.input_ids.tolist() for row in made]
    again = tokenizer.encode(ids, truncate=truncate, prompt_name=prompt_name)
    assert ids == [row.input_ids.tolist() for row in again]
    assert not any(row.truncated for row in again)


@pytest.mark.parametrize("made_with", [None, "query", "document"])
def test_a_default_prompt_is_not_put_before_a_prompt(made_with: str | None) -> None:
    """What a default prompt is for are texts; ids that were made of one with it have it."""
    tokenizer = make_tokenizer(
        max_input_tokens=32, prompts={"query": "the dog ", "document": "a mat "}
    )
    with_default = Tokenizer(
        fake_tokenizer(),
        vocabulary_size=16,
        max_input_tokens=32,
        max_client_batch_size=4,
        max_request_tokens=1000,
        prompts={"query": "the dog ", "document": "a mat "},
        default_prompt_name="query",
    )
    made = tokenizer.encode("cat sat", prompt_name=made_with)[0].input_ids
    expected = tokenizer.encode("cat sat", prompt_name=made_with or "query")[0].input_ids
    assert expected.tolist() == _ids(with_default, *made.tolist())


@pytest.mark.parametrize(
    ("opening", "closing", "own"),
    [
        ("[CLS]", "[SEP]", [CLS, CAT, SEP]),
        ("[CLS]", "[SEP]", [CLS, CAT]),
        ("[CLS]", None, [CLS, CAT]),
        (None, "[SEP]", [CAT, 2]),
        (None, None, [CAT]),
    ],
)
def test_ids_with_the_models_special_tokens_stay_as_they_are(
    opening: str | None, closing: str | None, own: list[int]
) -> None:
    assert own == _ids(_framed(opening, closing), *own)


PAD, UNKNOWN = 0, 1
FOREIGN = {
    "nothing opens": ("[CLS]", "[SEP]", [CAT, DOG]),
    "it only closes": ("[CLS]", "[SEP]", [CAT, SEP]),
    "it only closes, and has no other": (None, "[SEP]", [2, CAT]),
    "a heading in Markdown": ("[CLS]", "[SEP]", [CLS, PAD, CAT]),
    "a heading that ends as the model's ids do": ("[CLS]", "[SEP]", [CLS, PAD, CAT, SEP]),
    "a heading, and no token closes": ("[CLS]", None, [CLS, PAD, CAT]),
    "the last character of a text": (None, "[SEP]", [PAD, CAT, 2]),
    "the round trip differs": (None, None, [PAD, CAT]),
}


@pytest.mark.parametrize(("opening", "closing", "foreign"), FOREIGN.values(), ids=FOREIGN)
def test_other_ids_are_refused(
    opening: str | None, closing: str | None, foreign: list[int]
) -> None:
    """[PAD] is in no text's ids here: its name is three unknown tokens."""
    with pytest.raises(ForeignTokenIdsError) as caught:
        _framed(opening, closing).encode([foreign])
    assert "input[0]" == caught.value.param
    assert all(cure in caught.value.message for cure in CURES)


@pytest.mark.parametrize("name", sorted(set(KINDS) - {"words"}))
def test_ids_that_no_text_has_are_refused_between_the_models_special_tokens_too(name: str) -> None:
    """OpenAI's "!" and "#" are <s> and </s> in XLM-R, and "#" and "$" [CLS] and [SEP] in BERTs.

    Lists of any ids are texts in a tokenizer of whole words, and some are in any.
    """
    tokenizer = _tokenizer_of(name)
    opening, *_, closing = tokenizer.encode("a")[0].input_ids.tolist()
    random = np.random.default_rng(0)
    refused = 0
    for _ in range(50):
        between = random.integers(4, tokenizer.vocabulary_size, 40).tolist()
        try:
            tokenizer.encode([[opening, *between, closing]])
        except ForeignTokenIdsError:
            refused += 1
    assert refused >= 20


@pytest.mark.parametrize(
    ("opening", "closing"), [("[CLS]", "[SEP]"), ("[CLS]", None), (None, "[SEP]"), (None, None)]
)
def test_unknown_tokens_are_the_models_own(opening: str | None, closing: str | None) -> None:
    """Their name, [UNK], is not an added token here, so that it is itself unknown as a text."""
    tokenizer = _framed(opening, closing)
    (made,) = tokenizer.encode("zzz the qqq")
    assert UNKNOWN in made.input_ids
    assert made.input_ids.tolist() == _ids(tokenizer, *made.input_ids.tolist())


def test_ids_that_can_not_be_decoded_are_taken() -> None:
    """A tokenizer of parts of words without a decoder leaves the marks of the parts in the text."""
    raw = tokenizers.Tokenizer.from_str(kind("WordPiece").to_str())
    raw.decoder = None
    tokenizer = make_tokenizer(raw, vocabulary_size=raw.get_vocab_size(), max_input_tokens=64)
    (made,) = tokenizer.encode("The unbelievable cats")
    assert made.input_ids.tolist() == _ids(tokenizer, *made.input_ids.tolist())


def test_an_opening_token_of_an_id_that_no_text_of_tiktoken_begins_with_is_enough() -> None:
    """101 is BERT's [CLS], and in tiktoken a byte inside a character."""
    tokenizer = _framed("[BEGIN]", "[END]", first_id=101)
    assert [101, UNKNOWN, CAT] == _ids(tokenizer, 101, UNKNOWN, CAT)


def test_the_refused_input_is_named() -> None:
    inputs = [[CLS, CAT, SEP], [CLS, DOG, SEP], [CLS, SEP], [15, 14]]
    with pytest.raises(ForeignTokenIdsError) as caught:
        make_tokenizer().encode(inputs)
    assert "input[3]" == caught.value.param
    assert caught.value.message.startswith("input[3] has token ids")
    assert "[CLS] (id 2)" in caught.value.message


def test_a_malformed_input_is_told_before_a_foreign_one() -> None:
    with pytest.raises(EmptyInputError):
        make_tokenizer().encode([[THE], []])
    with pytest.raises(TokenIdError):
        make_tokenizer().encode([[THE], [99]])


def test_the_message_on_an_id_outside_names_both_cures() -> None:
    with pytest.raises(TokenIdError) as caught:
        make_tokenizer().encode([99])
    assert all(cure in caught.value.message for cure in CURES)


@pytest.mark.parametrize("inputs", [[CLS, CAT, SEP], [[CLS, CAT, SEP]], [[99]]])
def test_a_server_may_refuse_all_ids(inputs: list[int] | list[list[int]]) -> None:
    tokenizer = make_tokenizer(token_ids=TokenIds.REFUSE)
    with pytest.raises(ForeignTokenIdsError, match="this server refuses") as caught:
        tokenizer.encode(inputs)
    assert all(cure in caught.value.message for cure in CURES)
    assert caught.value.param in ("input", "input[0]")
    assert [CLS, CAT, SEP] == tokenizer.encode("cat")[0].input_ids.tolist()


def test_a_round_trip_of_many_ids_looks_at_the_first_ones_only() -> None:
    """A list of a million ids costs no more than what the model takes of it."""
    tokenizer = make_tokenizer(_bare(), max_input_tokens=8)
    own = np.tile(np.array([CAT, DOG], np.int32), 500_000)
    (encoding,) = tokenizer.encode(own.tolist(), truncate=Truncate.END)
    assert [CAT, DOG] * 4 == encoding.input_ids.tolist()
    with pytest.raises(ForeignTokenIdsError):
        tokenizer.encode([PAD, *own.tolist()], truncate=Truncate.END)


def _bare() -> tokenizers.Tokenizer:
    raw = fake_tokenizer()
    raw.post_processor = TemplateProcessing(single="$A", special_tokens=[])
    return raw
