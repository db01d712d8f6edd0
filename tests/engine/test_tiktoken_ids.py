"""The ids of OpenAI's encodings: what they decode to, and what is embedded of them."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np
import pytest

from engine.config import EngineConfig
from engine.errors import (
    ConfigurationError,
    EmptyInputError,
    ForeignTokenIdsError,
    InputTooLongError,
    InvalidInputError,
    MalformedTextError,
    TokenIdError,
    TooManyInputsError,
    UnbrokenTextError,
)
from engine.testing import fake_engine
from engine.tiktoken_ids import LONGEST_TOKEN_BYTES, open_vocabulary
from engine.tokenizer import Tokenizer
from engine.types import TokenIds, Truncate
from tests.engine.making import make_tokenizer
from tests.tiktoken_encodings import encoding_of

NAMES = [TokenIds.CL100K_BASE, TokenIds.O200K_BASE]
TEXTS = [
    "the cat",
    "The  Cat sat,\n\ton a mat! ",
    " " * 300,
    "<|endoftext|> is no end",
    "\u00fcber \u4e2d\u6587\u3002 \U0001f468\u200d\U0001f469\u200d\U0001f467 \u0e01\u0e33 \x00\x7f",
    "# Title",
    '"quoted"',
]


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> TokenIds:
    return TokenIds(request.param)


@pytest.fixture
def tokenizer(name: TokenIds) -> Tokenizer:
    return _tokenizer(name)


def _tokenizer(name: TokenIds, *, max_input_tokens: int = 8) -> Tokenizer:
    return make_tokenizer(
        token_ids=name, max_input_tokens=max_input_tokens, prompts={"query": "a dog "}
    )


def _ids(name: TokenIds, text: str) -> list[int]:
    return encoding_of(name).encode_ordinary(text)


def _decoded(name: TokenIds, ids: Sequence[int]) -> tuple[str, bool]:
    steps = open_vocabulary(name).decode(np.array(ids, np.int32), "input")
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value.text, stop.value.is_cut


@pytest.mark.parametrize("text", TEXTS)
def test_ids_of_tiktoken_are_decoded_to_the_text(name: TokenIds, text: str) -> None:
    assert (text, False) == _decoded(name, _ids(name, text))


def test_every_token_has_the_bytes_that_tiktoken_has(name: TokenIds) -> None:
    vocabulary, encoding = open_vocabulary(name), encoding_of(name)
    assert encoding.n_vocab == vocabulary.size
    known = encoding.token_byte_values()
    ranks = np.arange(len(known), dtype=np.int32)
    assert sum(map(len, known)) == vocabulary.check(ranks, "input")
    assert LONGEST_TOKEN_BYTES == max(map(len, known))
    for start in range(0, len(known), 5000):
        ids = range(start, min(start + 5000, len(known)))
        assert encoding.decode_bytes(ids) == b"".join(vocabulary._tokens[at] for at in ids)


def test_special_tokens_are_decoded_to_their_text(name: TokenIds) -> None:
    """A text with one of these, of a client that encodes it as the token, is that text."""
    encoding = encoding_of(name)
    text = "".join(sorted(encoding.special_tokens_set)) + " the cat"
    ids = encoding.encode(text, allowed_special="all")
    assert encoding.eot_token in ids
    assert (text, False) == _decoded(name, ids)


@pytest.mark.parametrize("prompt_name", [None, "query"])
@pytest.mark.parametrize("truncate", list(Truncate))
def test_ids_are_embedded_as_their_text(
    name: TokenIds, tokenizer: Tokenizer, truncate: Truncate, prompt_name: str | None
) -> None:
    """Special tokens, prompts, truncation and the number of tokens are those of the text."""
    texts = ["the cat", "dog", "the cat"]
    if truncate is not Truncate.NONE:
        texts.append("the a cat dog sat on mat red blue house")
    expected = tokenizer.encode(texts, truncate=truncate, prompt_name=prompt_name)
    found = tokenizer.encode(
        [_ids(name, text) for text in texts], truncate=truncate, prompt_name=prompt_name
    )
    assert [row.input_ids.tolist() for row in expected] == [row.input_ids.tolist() for row in found]
    assert [row.truncated for row in expected] == [row.truncated for row in found]


def test_texts_are_still_texts(tokenizer: Tokenizer) -> None:
    assert [2, 4, 6, 3] == tokenizer.encode("the cat")[0].input_ids.tolist()


@pytest.mark.parametrize("wrong", [-1, 2**31, 2**70])
def test_an_id_outside_of_the_encoding_is_named(tokenizer: Tokenizer, wrong: int) -> None:
    with pytest.raises(TokenIdError) as caught:
        tokenizer.encode([[9], [9, wrong]])
    assert ("input[1]", wrong) == (caught.value.param, caught.value.token_id)


def test_the_largest_id_is_that_of_the_encoding(name: TokenIds, tokenizer: Tokenizer) -> None:
    """It is taken; the next is not, and neither is one that means nothing."""
    largest = encoding_of(name).max_token_value
    tokenizer.encode([largest])
    between = len(encoding_of(name).token_byte_values())
    for wrong in (largest + 1, between):
        with pytest.raises(TokenIdError, match=f"{wrong}, which {name} .*{largest}"):
            tokenizer.encode([wrong])


def test_a_character_cut_at_the_edges_is_left_out_and_told(
    name: TokenIds, tokenizer: Tokenizer
) -> None:
    """Clients cut long texts between tokens, and a rare character has several."""
    rare = "\U00012345"
    ids = _ids(name, rare)
    assert len(ids) > 1
    middle = _ids(name, " the cat ")
    for cut in (ids[1:] + middle, middle + ids[:-1], ids[1:] + middle + ids[:-1]):
        assert (" the cat ", True) == _decoded(name, cut)
    rows = tokenizer.encode([middle, middle + ids[:-1]])
    assert [False, True] == [row.truncated for row in rows]
    assert rows[0].input_ids.tolist() == rows[1].input_ids.tolist()


@pytest.mark.parametrize("character", ["\u00e9", "\u4e2d", "\U0001f600", "\U00012345"])
def test_any_cut_of_any_character_loses_that_character_only(name: TokenIds, character: str) -> None:
    single = {token: at for at, token in enumerate(open_vocabulary(name)._tokens[:256])}
    ids = [single[bytes([byte])] for byte in character.encode()]
    a = single[b"a"]
    for at in range(1, len(ids)):
        assert ("a", True) == _decoded(name, [*ids[at:], a])
        assert ("a", True) == _decoded(name, [a, *ids[:at]])
        assert (character, True) == _decoded(name, ids + ids[:at])


def test_bytes_that_are_no_text_are_refused(name: TokenIds, tokenizer: Tokenizer) -> None:
    ids = _ids(name, "\U00012345")
    with pytest.raises(MalformedTextError) as caught:
        tokenizer.encode([_ids(name, "cat"), [*ids[:-1], *_ids(name, "cat")]])
    assert "input[1]" == caught.value.param
    assert "at byte 0" in caught.value.message


def test_a_part_of_a_character_alone_is_a_replacement_character(
    name: TokenIds, tokenizer: Tokenizer
) -> None:
    """The other inputs of the request are embedded, and this one is told as cut."""
    ids = _ids(name, "\U00012345")
    expected = tokenizer.encode(["cat", "\ufffd", "dog"])
    for part in (ids[:-1], ids[1:], ids[-1:]):
        assert ("\ufffd", True) == _decoded(name, part)
        found = tokenizer.encode([_ids(name, "cat"), part, _ids(name, "dog")])
        assert [row.input_ids.tolist() for row in expected] == [
            row.input_ids.tolist() for row in found
        ]
        assert [False, True, False] == [row.truncated for row in found]


def test_limits_are_those_of_the_text(name: TokenIds, tokenizer: Tokenizer) -> None:
    long = _ids(name, "the a cat dog sat on mat")
    with pytest.raises(InputTooLongError) as caught:
        tokenizer.encode([_ids(name, "cat"), long])
    assert ("input[1]", 9, 8) == (caught.value.param, caught.value.tokens, caught.value.limit)
    with pytest.raises(TooManyInputsError):
        tokenizer.encode([[9]] * 5)
    with pytest.raises(InvalidInputError, match="not a list of token ids"):
        tokenizer.encode([[9], "cat"])  # type: ignore[arg-type] # what a client may send
    with pytest.raises(EmptyInputError, match=r"input\[1\]"):
        tokenizer.encode([[9], []])


def test_the_text_of_few_ids_has_a_bound(name: TokenIds, tokenizer: Tokenizer) -> None:
    """One id may be of 128 spaces: 300,000 of them are 38 MB."""
    tokens = open_vocabulary(name)._tokens
    spaces = max(range(len(tokens)), key=lambda at: len(tokens[at]))
    with pytest.raises(InvalidInputError, match="16777216 bytes"):
        tokenizer.encode([spaces] * 300_000, truncate=Truncate.END)
    with pytest.raises(UnbrokenTextError):  # as 13 MB of spaces are
        tokenizer.encode([spaces] * 100_000, truncate=Truncate.END)


def test_a_missing_package_is_told_with_its_extra(
    name: TokenIds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "bpe_openai", None)
    with pytest.raises(ConfigurationError) as caught:
        open_vocabulary.__wrapped__(name)
    assert f"token_ids={name} " in caught.value.message
    assert "the extra 'tiktoken-ids'" in caught.value.message


def test_the_option_reaches_the_tokenizer() -> None:
    ids = _ids(TokenIds.CL100K_BASE, "the cat")
    with fake_engine(config=EngineConfig(token_ids=TokenIds.CL100K_BASE)) as engine:
        expected, found = engine.embed("the cat"), engine.embed(ids)
        assert np.array_equal(expected.vectors, found.vectors)
        assert expected.usage == found.usage
    with (
        fake_engine(config=EngineConfig(token_ids=TokenIds.REFUSE)) as engine,
        pytest.raises(ForeignTokenIdsError),
    ):
        engine.embed([2, 4, 3])
