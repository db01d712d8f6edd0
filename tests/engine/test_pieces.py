from __future__ import annotations

import random
from collections.abc import Callable
from typing import cast

import numpy as np
import pytest
import tokenizers

from engine.errors import InputTooLongError, InvalidInputError, UnbrokenTextError
from engine.tokenizer import Tokenizer
from engine.types import Encoding, Inputs, Truncate
from tests.engine.making import make_tokenizer
from tests.engine.tokenizer_kinds import KINDS, awkward_text, kind

LIMIT = 16
HUGE = 2**20
PROMPTS = {"query": "search the ", "long": "a b c d e f "}


def _words(letters: str, *, separator: str, longest: int, count: int) -> str:
    chosen = random.Random(len(letters) + longest)  # noqa: S311 - no secret
    lengths = (chosen.randint(1, longest) for _ in range(count))
    return separator.join("".join(chosen.choices(letters, k=length)) for length in lengths)


TEXTS: dict[str, str] = {
    "plain": "The quick brown fox jumps over the lazy dog. " * 400,
    "no white space": "abcdefghij" * 1000,
    "base64": _words("ABCdefgh0189", separator="+", longest=90, count=200),
    "Chinese": "\u6211\u5011\u8d70\u3002\u4f60\u5011\u4f86\uff0c" * 800,
    "Chinese in lines": ("\u6211\u5011" * 50 + "\n") * 100,
    "only spaces": " " * 9000,
    "runs of spaces": "a" + ("   " * 300 + "bc de") * 12,
    "a long run before the end": "start of it " + " " * 9000 + "the end of it",
    "combining marks": ("e\u0301 \u0301a\u0338= x\u3099 " * 3 + "word e\u0301x ") * 250,
    "one long word in the middle": "a b c " * 2 + "x" * 7000 + " d e f" * 2,
    "one long word at the end": "a b c d e f g h i j k l m n o p q " + "x" * 7000,
    "words that are unknown": _words("xyz", separator=" ", longest=500, count=40),
    "emoji": "\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f600\U0001f600 ok " * 500,
    "emoji only": "\U0001f600\U0001f469\u200d\U0001f467" * 900,
    "next line": "one\u0085two \u0085 three\u0085\u0085" * 500,
    "Windows lines": "one two\r\n\r\nthree\r\nfour " * 400,
    "special tokens": "a [SEP] b</s>c <mask> d  <mask>[CLS] e " * 200,
    "few tokens": "\u200b\ufeff\x01" * 3000 + "a b",
    "awkward": awkward_text(9000, 1),
    "also awkward": awkward_text(3000, 2),
}


def reference(
    raw: tokenizers.Tokenizer, text: str, truncate: Truncate, prompt: str
) -> list[int] | int:
    """What encoding the whole text at once and cutting then gives; its tokens if it is refused."""
    ids: list[int] = raw.encode(prompt + text).ids
    bare: list[int] = raw.encode(text, add_special_tokens=False).ids
    framed: list[int] = raw.encode(text).ids
    first = framed.index(bare[0]) if bare else len(framed) - 1
    if len(ids) <= LIMIT:
        return ids
    if truncate is Truncate.NONE:
        return len(ids)
    prefix, suffix = ids[: max(first, 0)], ids[len(ids) - (len(framed) - len(bare) - first) :]
    body = ids[len(prefix) : len(ids) - len(suffix)]
    room = LIMIT - len(prefix) - len(suffix)
    if truncate is Truncate.END:
        return prefix + body[:room] + suffix
    own: list[int] = raw.encode(prompt, add_special_tokens=False).ids if prompt else []
    kept = 0
    while kept < min(len(own), len(body)) and own[kept] == body[kept]:
        kept += 1
    return prefix + body[:kept] + body[len(body) - (room - kept) :] + suffix


def _tokenizer(name: str) -> Tokenizer:
    return make_tokenizer(
        kind(name), max_input_tokens=LIMIT, vocabulary_size=10**6, prompts=PROMPTS
    )


@pytest.mark.parametrize("truncate", list(Truncate))
@pytest.mark.parametrize("prompt_name", [None, "query", "long"])
@pytest.mark.parametrize("name", KINDS)
def test_a_long_text_has_the_ids_of_the_whole(
    name: str, prompt_name: str | None, truncate: Truncate
) -> None:
    """Read in pieces, from either end, a text gives what encoding all of it at once would give."""
    raw, tokenizer = kind(name), _tokenizer(name)
    prompt = PROMPTS[prompt_name] if prompt_name else ""
    for text in TEXTS.values():
        expected = reference(raw, text, truncate, prompt)
        if isinstance(expected, list):
            (encoding,) = tokenizer.encode(text, truncate=truncate, prompt_name=prompt_name)
            assert expected == encoding.input_ids.tolist()
            continue
        with pytest.raises(InputTooLongError) as caught:
            tokenizer.encode(text, truncate=truncate, prompt_name=prompt_name)
        assert (expected, True) == (caught.value.tokens, caught.value.counted)


@pytest.mark.parametrize("truncate", [Truncate.END, Truncate.START])
@pytest.mark.parametrize("name", KINDS)
def test_texts_together_have_the_ids_of_each_alone(name: str, truncate: Truncate) -> None:
    """Pieces of several texts are tokenized at once, and none is taken for another's."""
    tokenizer = make_tokenizer(
        kind(name), max_input_tokens=LIMIT, vocabulary_size=10**6, max_client_batch_size=99
    )
    texts = [*TEXTS.values(), "short", *TEXTS.values()]
    together = tokenizer.encode(texts, truncate=truncate)
    alone = [tokenizer.encode(text, truncate=truncate)[0] for text in texts]
    assert _ids(alone) == _ids(together)


def _ids(encodings: list[Encoding]) -> list[list[int]]:
    return [encoding.input_ids.tolist() for encoding in encodings]


def _read(tokenizer: Tokenizer, inputs: Inputs, truncate: Truncate) -> int:
    """How many characters are tokenized, be it in vain."""
    found = 0
    try:
        for characters in tokenizer.encode_in_steps(inputs, truncate=truncate):
            found += characters
    except InvalidInputError:
        pass
    return found


@pytest.mark.parametrize("truncate", list(Truncate))
@pytest.mark.parametrize("name", KINDS)
def test_no_more_of_a_huge_text_is_tokenized_than_needed(name: str, truncate: Truncate) -> None:
    text = "word " * (HUGE // 5)
    assert _read(_tokenizer(name), text, truncate) <= 1024


@pytest.mark.parametrize(
    ("text", "truncate"),
    [
        ("a b c d e f g h i j k l m n o p q r s t " * 30 + "x" * HUGE, Truncate.END),
        ("x" * HUGE + " a b c d e f g h i j k l m n o p q r s t" * 30, Truncate.START),
    ],
)
def test_a_stretch_that_is_cut_off_may_be_of_any_length(text: str, truncate: Truncate) -> None:
    (encoding,) = _tokenizer("WordPiece").encode(text, truncate=truncate)
    assert LIMIT == encoding.tokens


@pytest.mark.parametrize("truncate", list(Truncate))
@pytest.mark.parametrize("text", ["x" * HUGE, " " * HUGE, "a b " + "\u4e2d" * HUGE + " c d"])
def test_a_long_stretch_without_a_place_to_cut_is_refused(text: str, truncate: Truncate) -> None:
    """Only tokenizing all of it would tell its tokens, and that is not bounded."""
    with pytest.raises(UnbrokenTextError) as caught:
        _tokenizer("Unigram").encode(["short", text], truncate=truncate)
    assert ("input[1]", 2**18) == (caught.value.param, caught.value.limit)


@pytest.mark.parametrize("truncate", list(Truncate))
def test_the_longest_stretch_is_taken(truncate: Truncate) -> None:
    (encoding,) = _tokenizer("WordPiece").encode("x" * 2**18, truncate=truncate)
    assert 3 == encoding.tokens


def test_a_model_of_a_long_context_takes_longer_stretches() -> None:
    tokenizer = make_tokenizer(kind("WordPiece"), max_input_tokens=2**15, vocabulary_size=10**6)
    assert 3 == tokenizer.encode("x" * 2**19)[0].tokens


def test_a_tokenizer_that_can_not_be_cut_takes_texts_to_the_bound() -> None:
    raw = tokenizers.Tokenizer.from_str(kind("words").to_str())
    raw.pre_tokenizer = tokenizers.pre_tokenizers.Sequence(
        [tokenizers.pre_tokenizers.UnicodeScripts(), tokenizers.pre_tokenizers.Whitespace()]
    )
    tokenizer = make_tokenizer(raw, max_input_tokens=4)
    (encoding,) = tokenizer.encode("the cat " * 2**15, truncate=Truncate.END)
    assert [2, 4, 6, 3] == encoding.input_ids.tolist()
    with pytest.raises(UnbrokenTextError):
        tokenizer.encode("the cat " * 2**15 + "x", truncate=Truncate.END)


def test_a_text_too_long_to_be_counted_says_at_least_how_many_it_has() -> None:
    with pytest.raises(InputTooLongError) as caught:
        _tokenizer("words").encode("the cat " * 2**16)
    assert not caught.value.counted
    assert LIMIT < caught.value.tokens <= 300
    assert f"input has at least {caught.value.tokens} tokens" in caught.value.message


def test_the_first_input_that_is_too_long_is_named() -> None:
    """With its number of tokens, and whatever comes after it is not tokenized."""
    texts = ["the", "the cat " * 2000, "the dog " * 2**17]
    with pytest.raises(InputTooLongError) as caught:
        _tokenizer("words").encode(texts)
    assert ("input[1]", 4002) == (caught.value.param, caught.value.tokens)
    assert _read(_tokenizer("words"), texts, Truncate.NONE) < 20_000


@pytest.mark.parametrize("read", [lambda t: t, lambda t: [t] * 3])
def test_steps_are_bounded(read: Callable[[str], Inputs]) -> None:
    """So that others get their turn, and the memory of tokens that are counted only is small."""
    tokenizer = _tokenizer("words")
    steps = list(_sizes(tokenizer, read("the cat dog on " * 8000)))
    assert max(steps) < 2 * 16_384


def _sizes(tokenizer: Tokenizer, inputs: Inputs) -> list[int]:
    found: list[int] = []
    with pytest.raises(InputTooLongError):
        found.extend(tokenizer.encode_in_steps(inputs))
    return found


@pytest.mark.parametrize("truncate", list(Truncate))
@pytest.mark.parametrize("characters", [0, 1, 1024, 2**18, 2**18 + 1, 2**24])
def test_what_is_expected_is_about_what_is_read(characters: int, truncate: Truncate) -> None:
    tokenizer = _tokenizer("words")
    text = ("cat " * (characters // 4 + 1))[:characters]
    expected = tokenizer.expected_characters(text, truncate)
    assert expected == tokenizer.expected_characters([text], truncate)
    if characters:
        assert expected / 2 <= _read(tokenizer, text, truncate) <= expected


def test_ids_and_too_many_inputs_are_expected_by_their_number() -> None:
    tokenizer = _tokenizer("words")
    matrix = cast(Inputs, np.array([[1, 2], [3, 4]]))
    found: list[Inputs] = [[1, 2, 3], [[1, 2, 3], [4]], matrix, ["x" * 99] * 5]
    expected = [tokenizer.expected_characters(inputs, Truncate.NONE) for inputs in found]
    assert [3, 4, 4, 5] == expected
