from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, normalizers, pre_tokenizers

from engine.safe_cuts import SafeCuts
from tests.engine.tokenizer_kinds import ALPHABET, KINDS, QWEN_PATTERN, checkpoint, kind

TEXTS = st.lists(st.sampled_from(ALPHABET), max_size=40).map("".join)
PLAIN = "first second. Third, fourth"


def ids_of(tokenizer: Tokenizer, text: str) -> list[int]:
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
    return ids


def places_of(tokenizer: Tokenizer, text: str) -> list[int]:
    cuts = SafeCuts(tokenizer)
    found, start = [], 0
    while (place := cuts.first(text, start, len(text))) is not None:
        found.append(place)
        start = place
    return found


@pytest.mark.parametrize("name", KINDS)
@settings(max_examples=150, deadline=None)
@given(text=TEXTS)
def test_a_text_cut_at_all_places_has_the_tokens_of_the_whole(name: str, text: str) -> None:
    tokenizer = kind(name)
    places = [0, *places_of(tokenizer, text), len(text)]
    pieces = [text[a:b] for a, b in pairwise(places)]
    assert ids_of(tokenizer, text) == [id_ for p in pieces for id_ in ids_of(tokenizer, p)]


@pytest.mark.parametrize("name", KINDS)
def test_plain_text_can_be_cut_after_each_word(name: str) -> None:
    assert [5, 12, 18] == places_of(kind(name), "first second third fourth")


@pytest.mark.parametrize("name", KINDS)
@settings(max_examples=30, deadline=None)
@given(text=TEXTS)
def test_the_last_place_is_the_last_of_all(name: str, text: str) -> None:
    places = places_of(kind(name), text)
    cuts = SafeCuts(kind(name))
    for end in range(len(text) + 1):
        before = [place for place in places if 2 < place <= end]
        assert cuts.last(text, 2, end) == (before[-1] if before else None)


def test_a_letter_that_joins_a_space_before_it_is_no_place_to_cut() -> None:
    """SentencePiece's normaliser makes one space of both, and the place is one between spaces."""
    assert [] == places_of(kind("Unigram of a GGUF file"), "a\xa0\u0e33 k\xa0\u0eb3 k\u0600")


def test_chinese_is_cut_where_each_character_is_a_word() -> None:
    text = "\u6211\u5011\u8d70"
    assert [[1], []] == [places_of(kind(name), text) for name in ("WordPiece", "byte-level BPE")]


def test_the_last_place_may_be_far_back() -> None:
    text = "a b" + "-" * 5000
    assert SafeCuts(kind("WordPiece")).last(text, 0, len(text)) == 1


def _with_normalizer(normalizer: normalizers.Normalizer) -> Tokenizer:
    tokenizer = checkpoint("bert")
    tokenizer.normalizer = normalizer
    return tokenizer


def _with_splitter(splitter: pre_tokenizers.PreTokenizer | None) -> Tokenizer:
    tokenizer = checkpoint("roberta")
    tokenizer.pre_tokenizer = splitter
    return tokenizer


def _with_token(token: AddedToken) -> Tokenizer:
    tokenizer = checkpoint("roberta")
    tokenizer.add_tokens([token])
    return tokenizer


@pytest.mark.parametrize(
    "tokenizer",
    [
        _with_splitter(None),
        _with_splitter(pre_tokenizers.Metaspace(split=False)),
        _with_splitter(pre_tokenizers.UnicodeScripts()),
        _with_splitter(pre_tokenizers.ByteLevel(use_regex=False)),
        _with_splitter(pre_tokenizers.Split(r"\w+(?=.*z)", "isolated")),
        _with_splitter(pre_tokenizers.Split(QWEN_PATTERN, "removed")),
        _with_normalizer(normalizers.Prepend("x")),
        _with_normalizer(normalizers.Replace("t s", "z")),
        _with_token(AddedToken("tokens", rstrip=True)),
    ],
)
def test_what_may_look_across_a_cut_is_never_cut(tokenizer: Tokenizer) -> None:
    """An unknown kind of step might, and so would an added token that swallows a space."""
    assert [] == places_of(tokenizer, PLAIN)
