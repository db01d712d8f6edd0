from __future__ import annotations

from array import array
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import tokenizers
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Metaspace, Whitespace
from tokenizers.processors import TemplateProcessing

from engine.errors import (
    EmptyInputError,
    ForeignTokenIdsError,
    InputTooLongError,
    InvalidInputError,
    MalformedTextError,
    ManifestError,
    TokenIdError,
    TooManyInputsError,
    TooManyTokensError,
    UnknownPromptError,
)
from engine.testing import fake_tokenizer
from engine.tokenizer import Tokenizer
from engine.types import Encoding, Inputs, Truncate
from tests.engine.making import make_tokenizer

THE, A, CAT, DOG, SAT, ON = 4, 5, 6, 7, 8, 9
CLS, SEP = 2, 3
TEN_WORDS = "the a cat dog sat on mat red blue house"


def ids_of(encodings: list[Encoding]) -> list[list[int]]:
    return [encoding.input_ids.tolist() for encoding in encodings]


def wrong(inputs: object) -> Inputs:
    """Something that is not an input, for a call that must refuse it."""
    return cast(Inputs, inputs)


def bare_tokenizer(*, suffix: bool = False) -> tokenizers.Tokenizer:
    """Words without special tokens, or with one at the end only, as Qwen and E5-Mistral have."""
    tokenizer = fake_tokenizer()
    tokenizer.post_processor = TemplateProcessing(
        single="$A [SEP]" if suffix else "$A", special_tokens=[("[SEP]", SEP)]
    )
    return tokenizer


# The four forms of input


def test_a_text_becomes_its_ids_between_special_tokens() -> None:
    """A string is one input, framed by the model's special tokens."""
    assert [[CLS, THE, CAT, SEP]] == ids_of(make_tokenizer().encode("the cat"))


def test_texts_keep_their_order() -> None:
    """A list of strings gives one encoding each, in the order of the request."""
    assert [[CLS, DOG, SEP], [CLS, THE, CAT, SEP]] == ids_of(
        make_tokenizer().encode(["dog", "the cat"])
    )


@pytest.mark.parametrize(
    "ids",
    [
        [CLS, THE, SEP],
        (CLS, THE, SEP),
        np.array([CLS, THE, SEP]),
        np.array([CLS, THE, SEP], dtype=np.uint8),
        np.array([CLS, THE, SEP], dtype=np.uint64),
        [np.int64(CLS), np.int32(THE), SEP],
        array("q", [CLS, THE, SEP]),
    ],
    ids=["list", "tuple", "int64", "uint8", "uint64", "scalars", "array"],
)
def test_one_list_of_ids_is_one_input(ids: object) -> None:
    """A flat sequence of integers, of whatever kind, is one input."""
    assert [[CLS, THE, SEP]] == ids_of(make_tokenizer().encode(wrong(ids)))


@pytest.mark.parametrize(
    "ids",
    [
        [[CLS, THE, CAT, SEP], [CLS, DOG, SEP]],
        ((CLS, THE, CAT, SEP), (CLS, DOG, SEP)),
        [np.array([CLS, THE, CAT, SEP]), np.array([CLS, DOG, SEP])],
        np.array([[CLS, THE, CAT, SEP], [CLS, DOG, SEP]], dtype=object),
    ],
    ids=["lists", "tuples", "arrays", "object array of lists"],
)
def test_lists_of_ids_are_several_inputs(ids: object) -> None:
    """A sequence of sequences of integers gives one encoding each."""
    assert [[CLS, THE, CAT, SEP], [CLS, DOG, SEP]] == ids_of(make_tokenizer().encode(wrong(ids)))


def test_a_matrix_of_ids_is_one_input_a_row() -> None:
    """A two-dimensional array gives one encoding a row."""
    matrix = wrong(np.array([[CLS, CAT, SEP], [CLS, DOG, SEP]]))
    assert [[CLS, CAT, SEP], [CLS, DOG, SEP]] == ids_of(make_tokenizer().encode(matrix))


def test_an_array_of_texts_is_several_texts() -> None:
    """numpy's strings are texts."""
    texts = wrong(np.array(["dog", "the cat"]))
    assert [[CLS, DOG, SEP], [CLS, THE, CAT, SEP]] == ids_of(make_tokenizer().encode(texts))


def test_ids_are_int32() -> None:
    """Backends get int32, whatever the sender used."""
    encodings = make_tokenizer().encode([[CLS], [CLS, SEP]]) + make_tokenizer().encode("the")
    assert {np.dtype(np.int32)} == {encoding.input_ids.dtype for encoding in encodings}


def test_encodings_do_not_share_memory_with_the_input() -> None:
    """What the sender does to its array afterwards changes nothing."""
    ids = np.array([CLS, THE, SEP], dtype=np.int32)
    (encoding,) = make_tokenizer().encode(wrong(ids))
    ids[:] = 0
    assert [CLS, THE, SEP] == encoding.input_ids.tolist()


# Text and its ids


@pytest.mark.parametrize("suffix_only", [True, False])
@pytest.mark.parametrize("prompt_name", [None, "query"])
def test_text_and_its_framed_ids_encode_alike(suffix_only: bool, prompt_name: str | None) -> None:
    """Ids that have the special tokens do not get them twice."""
    raw = bare_tokenizer(suffix=True) if suffix_only else fake_tokenizer()
    tokenizer = make_tokenizer(raw, prompts={"query": "the dog "})
    framed = tokenizer.encode("a cat")[0].input_ids.tolist()
    assert ids_of(tokenizer.encode("a cat", prompt_name=prompt_name)) == ids_of(
        tokenizer.encode(framed, prompt_name=prompt_name)
    )


def test_ids_that_start_with_cls_stay_as_they_are() -> None:
    """Ids with the model's CLS in front are complete, with or without SEP."""
    assert [[CLS, THE]] == ids_of(make_tokenizer().encode([CLS, THE]))


def test_a_lone_sep_id_is_not_taken_for_a_framed_text() -> None:
    """Only CLS in front marks ids as complete where the model has a CLS."""
    with pytest.raises(ForeignTokenIdsError):
        make_tokenizer().encode([SEP])


def test_ids_of_a_model_without_special_tokens_stay_as_they_are() -> None:
    """No special tokens are invented."""
    assert [[THE, CAT]] == ids_of(make_tokenizer(bare_tokenizer()).encode([THE, CAT]))


def test_special_token_text_does_not_frame_an_input() -> None:
    """A text that begins with the words of a special token is framed like any other."""
    raw = fake_tokenizer()
    raw.add_special_tokens(["[CLS]", "[SEP]"])
    assert [[CLS, CLS, CAT, SEP, SEP]] == ids_of(make_tokenizer(raw).encode("[CLS] cat [SEP]"))


# Empty inputs


@pytest.mark.parametrize(
    ("inputs", "param"),
    [
        ([], "input"),
        ((), "input"),
        (np.array([]), "input"),
        ("", "input"),
        ([""], "input[0]"),
        (["the", ""], "input[1]"),
        ([[]], "input[0]"),
        ([[THE], []], "input[1]"),
        (np.zeros((2, 0), dtype=int), "input[0]"),
    ],
)
def test_an_empty_input_is_refused_by_name(inputs: object, param: str) -> None:
    """Nothing to embed is an error that names the place."""
    with pytest.raises(EmptyInputError) as caught:
        make_tokenizer().encode(wrong(inputs))
    assert param == caught.value.param


def test_white_space_is_a_text() -> None:
    """White space has the special tokens, if no others."""
    assert [[CLS, SEP]] == ids_of(make_tokenizer().encode(" \t\n"))


def test_a_text_without_any_token_is_refused() -> None:
    """Without special tokens, white space leaves nothing to compute."""
    with pytest.raises(EmptyInputError) as caught:
        make_tokenizer(bare_tokenizer()).encode(["the", "  "])
    assert "input[1]" == caught.value.param


# Wrong types


@pytest.mark.parametrize(
    ("inputs", "param"),
    [
        (None, "input"),
        (5, "input"),
        (5.0, "input"),
        (b"the", "input"),
        (bytearray(b"the"), "input"),
        (memoryview(b"the"), "input"),
        ({"a": 1}, "input"),
        ({THE}, "input"),
        (np.array(5), "input"),
        ([None], "input[0]"),
        ([{}], "input[0]"),
        ([THE, None], "input[1]"),
        ([THE, "the"], "input[1]"),
        ([THE, [CAT]], "input[1]"),
        ([1.0, 2.0], "input[0]"),
        ([THE, 2.5], "input[1]"),
        ([float("nan")], "input[0]"),
        (np.array([4.0]), "input"),
        (np.array([THE, CAT], dtype=object), "input"),
        ([True, False], "input[0]"),
        ([THE, True], "input[1]"),
        ([THE, np.True_], "input[1]"),
        (np.array([True]), "input"),
        ([[THE, True]], "input[0][1]"),
        (["the", THE], "input[1]"),
        (["the", [THE]], "input[1]"),
        (["the", None], "input[1]"),
        ([[THE], "the"], "input[1]"),
        ([[THE], THE], "input[1]"),
        ([[THE], None], "input[1]"),
        ([[THE], [CAT, None]], "input[1][1]"),
        ([None, "the"], "input[0]"),
        ([THE] * 50_000 + [None], "input[50000]"),
        ([[THE], [THE] * 50_000 + [0.5]], "input[1][50000]"),
        ([["the"]], "input[0][0]"),
        ([[[THE]]], "input[0][0]"),
        ([[[THE], [CAT, DOG]]], "input[0][0]"),
        ([b"the"], "input[0]"),
        ([bytearray(b"the")], "input[0]"),
        ([[THE], bytearray(b"the")], "input[1]"),
        ([np.array(5)], "input[0]"),
        (np.full((1, 1, 1), THE), "input[0]"),
    ],
)
def test_a_wrong_type_is_refused_by_name(inputs: object, param: str) -> None:
    """What is not one of the four forms is one clear error, never another exception."""
    with pytest.raises(InvalidInputError) as caught:
        make_tokenizer().encode(wrong(inputs))
    assert (InvalidInputError, param) == (type(caught.value), caught.value.param)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (["the", 1], "input[1] is a number, not a text as those before it. "),
        ([THE, None], "input[1] is null, not a token id. "),
        ([[THE], "the"], "input[1] is a text, not a list of token ids. "),
        ([[THE], [True]], "input[1][0] is true or false, not a token id. "),
        ([THE, 2.0], "input[1] is a number with a fraction or too large, not a token id. "),
        ([{}], "input[0] is an object, not a text, a token id or a list of token ids. "),
    ],
)
def test_the_item_at_fault_is_named_with_what_it_is(inputs: object, message: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        make_tokenizer().encode(wrong(inputs))
    assert caught.value.message.startswith(message)


def test_a_long_list_of_ids_is_checked_in_steps() -> None:
    """No other thread runs while numbers are looked at in one go."""
    tokenizer = make_tokenizer(max_input_tokens=8)

    def steps(ids: int) -> list[int]:
        return list(tokenizer.encode_in_steps([2, *[THE] * ids, 3], truncate=Truncate.END))

    assert sum(steps(100_000)) == 100_002
    assert max(steps(100_000)) == max(steps(1_000_000)) < 20_000


@pytest.mark.parametrize("text", ["\ud800", "cat \udfff", "é\ud83d", "é" * 1_000_000 + "\ud83d"])
def test_a_lone_surrogate_is_refused(text: str) -> None:
    """A text that is not valid Unicode is the sender's error."""
    with pytest.raises(MalformedTextError) as caught:
        make_tokenizer().encode(["the", text])
    assert "input[1]" == caught.value.param


@pytest.mark.parametrize("text", ["\x00", "\U0001f600", "é", "\ufffe", "cat\u0301"])
def test_unusual_but_valid_text_is_taken(text: str) -> None:
    """Every valid Unicode text is a text."""
    assert CLS == make_tokenizer().encode(text)[0].input_ids[0]


# Token ids out of range


@pytest.mark.parametrize(
    ("ids", "token_id"),
    [
        ([-1], -1),
        ([16], 16),
        ([THE, 16, 99], 16),
        ([2**31], 2**31),
        ([2**32 + THE], 2**32 + THE),
        ([2**63], 2**63),
        ([2**64 + THE], 2**64 + THE),
        ([-(2**63) - 1], -(2**63) - 1),
        ([THE, 2**63], 2**63),
        ([-1, 2**63], -1),
        ([THE, 10**30], 10**30),
        (np.array([2**64 - 1], dtype=np.uint64), 2**64 - 1),
        (np.array([-1], dtype=np.int8), -1),
    ],
)
def test_an_id_outside_of_the_vocabulary_is_named(ids: object, token_id: int) -> None:
    """The first id out of range is reported as it was sent, however large."""
    with pytest.raises(TokenIdError) as caught:
        make_tokenizer().encode(wrong(ids))
    assert ("input", token_id, 16) == (
        caught.value.param,
        caught.value.token_id,
        caught.value.vocabulary_size,
    )


def test_the_last_id_of_the_vocabulary_is_taken() -> None:
    """Ids lie in 0 <= id < vocabulary."""
    raw = fake_tokenizer()
    raw.add_special_tokens(["[PAD]"])  # With it 0 is the id of a text.
    assert [[CLS, 0, 15, SEP]] == ids_of(make_tokenizer(raw).encode([CLS, 0, 15, SEP]))


def test_a_wrong_id_names_its_input() -> None:
    """The place among several inputs is named."""
    with pytest.raises(TokenIdError) as caught:
        make_tokenizer().encode([[THE], [99]])
    assert "input[1]" == caught.value.param


def test_the_message_on_a_wrong_id_names_the_cure() -> None:
    """LangChain's default is to send ids of another tokenizer; the message says what to set."""
    with pytest.raises(TokenIdError, match="check_embedding_ctx_length=False"):
        make_tokenizer().encode([100_000])


# Counts


def test_the_largest_number_of_inputs_is_taken() -> None:
    """The limit itself is allowed."""
    assert 4 == len(make_tokenizer(max_client_batch_size=4).encode(["the"] * 4))


def test_one_input_too_many_is_refused() -> None:
    """The error has both numbers."""
    with pytest.raises(TooManyInputsError) as caught:
        make_tokenizer(max_client_batch_size=4).encode(["the"] * 5)
    assert (5, 4, "input") == (caught.value.inputs, caught.value.limit, caught.value.param)


def test_a_long_list_of_ids_is_one_input_of_the_count() -> None:
    """The number of inputs is not the number of ids."""
    assert 1 == len(make_tokenizer(max_client_batch_size=1).encode([CLS, CAT, SEP]))


def test_the_largest_number_of_tokens_is_taken() -> None:
    """The limit of a request counts special tokens, and is itself allowed."""
    assert 2 == len(make_tokenizer(max_request_tokens=6).encode(["the", "cat"]))


def test_one_token_too_many_in_all_is_refused() -> None:
    """The error has both numbers."""
    with pytest.raises(TooManyTokensError) as caught:
        make_tokenizer(max_request_tokens=5).encode(["the", "cat"])
    assert (6, 5, "input") == (caught.value.tokens, caught.value.limit, caught.value.param)


def test_tokens_that_were_cut_do_not_count() -> None:
    """A request's total is what is computed."""
    tokenizer = make_tokenizer(max_input_tokens=4, max_request_tokens=4)
    assert 4 == tokenizer.encode(TEN_WORDS, truncate=Truncate.END)[0].tokens


# Truncation


@pytest.mark.parametrize("truncate", list(Truncate))
@pytest.mark.parametrize("inputs", ["the a cat dog sat on", [CLS, THE, A, CAT, DOG, SAT, ON, SEP]])
def test_an_input_of_exactly_the_limit_is_left_alone(truncate: Truncate, inputs: Inputs) -> None:
    """Six words and two special tokens fit into eight."""
    (encoding,) = make_tokenizer().encode(inputs, truncate=truncate)
    assert ([CLS, THE, A, CAT, DOG, SAT, ON, SEP], False) == (
        encoding.input_ids.tolist(),
        encoding.truncated,
    )


@pytest.mark.parametrize(
    "inputs", ["the a cat dog sat on mat", [CLS, THE, A, CAT, DOG, SAT, ON, 10, SEP]]
)
def test_one_token_too_many_is_refused(inputs: Inputs) -> None:
    """By default an input over the limit is an error with both numbers."""
    with pytest.raises(InputTooLongError) as caught:
        make_tokenizer().encode(inputs)
    assert ("input", 9, 8) == (caught.value.param, caught.value.tokens, caught.value.limit)


@pytest.mark.parametrize(
    "inputs", ["the a cat dog sat on mat", [CLS, THE, A, CAT, DOG, SAT, ON, 10, SEP]]
)
def test_truncation_at_the_end_keeps_the_start_and_sep(inputs: Inputs) -> None:
    """The last words go; the special tokens stay."""
    (encoding,) = make_tokenizer().encode(inputs, truncate=Truncate.END)
    assert ([CLS, THE, A, CAT, DOG, SAT, ON, SEP], True) == (
        encoding.input_ids.tolist(),
        encoding.truncated,
    )


@pytest.mark.parametrize(
    "inputs", ["the a cat dog sat on mat", [CLS, THE, A, CAT, DOG, SAT, ON, 10, SEP]]
)
def test_truncation_at_the_start_keeps_cls_and_the_end(inputs: Inputs) -> None:
    """The first words go; the special tokens stay."""
    (encoding,) = make_tokenizer().encode(inputs, truncate=Truncate.START)
    assert ([CLS, A, CAT, DOG, SAT, ON, 10, SEP], True) == (
        encoding.input_ids.tolist(),
        encoding.truncated,
    )


@pytest.mark.parametrize(
    ("truncate", "kept"), [(Truncate.END, [CLS, THE, SEP]), (Truncate.START, [CLS, 13, SEP])]
)
def test_the_smallest_limit_keeps_one_token_of_the_text(
    truncate: Truncate, kept: list[int]
) -> None:
    """With a limit of three, one word stays between the special tokens."""
    tokenizer = make_tokenizer(max_input_tokens=3)
    assert [kept] == ids_of(tokenizer.encode(TEN_WORDS, truncate=truncate))


@pytest.mark.parametrize(
    ("truncate", "kept"), [(Truncate.END, [THE, A, SEP]), (Truncate.START, [12, 13, SEP])]
)
def test_truncation_keeps_a_suffix_without_a_prefix(truncate: Truncate, kept: list[int]) -> None:
    """A model that pools at its last token keeps the token it was trained to pool at."""
    tokenizer = make_tokenizer(bare_tokenizer(suffix=True), max_input_tokens=3)
    assert [kept] == ids_of(tokenizer.encode(TEN_WORDS, truncate=truncate))


@pytest.mark.parametrize(
    ("truncate", "kept"), [(Truncate.END, [THE, A, CAT]), (Truncate.START, [11, 12, 13])]
)
def test_truncation_without_special_tokens_cuts_words_only(
    truncate: Truncate, kept: list[int]
) -> None:
    """A model without special tokens has the whole limit for words."""
    tokenizer = make_tokenizer(bare_tokenizer(), max_input_tokens=3)
    assert [kept] == ids_of(tokenizer.encode(TEN_WORDS, truncate=truncate))


def test_truncating_ids_without_sep_adds_none() -> None:
    """Ids that came complete, with CLS but no SEP, are only cut."""
    ids = [CLS, *range(4, 14)]
    (encoding,) = make_tokenizer(max_input_tokens=4).encode(ids, truncate=Truncate.END)
    assert [CLS, 4, 5, 6] == encoding.input_ids.tolist()


def test_truncation_marks_only_what_was_cut() -> None:
    """Each encoding says whether it was cut."""
    encodings = make_tokenizer(max_input_tokens=4).encode(
        ["the", TEN_WORDS, "the cat"], truncate=Truncate.END
    )
    assert [False, True, False] == [encoding.truncated for encoding in encodings]


def test_the_word_for_a_truncation_is_as_good_as_the_enum() -> None:
    """'end' is not mistaken for 'start' where a caller passes the plain string."""
    tokenizer = make_tokenizer(max_input_tokens=3)
    assert [[CLS, THE, SEP]] == ids_of(tokenizer.encode(TEN_WORDS, truncate=cast(Truncate, "end")))


def test_an_unknown_truncation_is_an_error() -> None:
    """A word that is none of the three is not taken for one of them."""
    with pytest.raises(ValueError, match="middle"):
        make_tokenizer().encode("the", truncate=cast(Truncate, "middle"))


# Prompts


def test_a_prompt_goes_in_front_of_every_text() -> None:
    """The prompt stands between CLS and the text."""
    tokenizer = make_tokenizer(prompts={"query": "the dog "})
    assert [[CLS, THE, DOG, CAT, SEP], [CLS, THE, DOG, SAT, SEP]] == ids_of(
        tokenizer.encode(["cat", "sat"], prompt_name="query")
    )


def test_without_a_name_no_prompt_is_added() -> None:
    """A bundle with prompts embeds plain texts plainly."""
    assert [[CLS, CAT, SEP]] == ids_of(make_tokenizer(prompts={"query": "the "}).encode("cat"))


def test_an_unknown_prompt_lists_the_known_ones() -> None:
    """The error names the bundle's prompts."""
    with pytest.raises(UnknownPromptError) as caught:
        make_tokenizer(prompts={"query": "a ", "passage": "the "}).encode("cat", prompt_name="q")
    assert ("q", ("passage", "query"), "prompt_name") == (
        caught.value.name,
        caught.value.known,
        caught.value.param,
    )


def test_an_empty_prompt_name_is_unknown() -> None:
    """The empty name is not the same as no name."""
    with pytest.raises(UnknownPromptError):
        make_tokenizer(prompts={"query": "a "}).encode("cat", prompt_name="")


@pytest.mark.parametrize("inputs", [TEN_WORDS, [CLS, *range(4, 14), SEP]])
@pytest.mark.parametrize(
    ("truncate", "kept"),
    [
        (Truncate.END, [CLS, SAT, ON, THE, A, SEP]),
        (Truncate.START, [CLS, SAT, ON, 12, 13, SEP]),
    ],
)
def test_truncation_keeps_the_prompt(inputs: Inputs, truncate: Truncate, kept: list[int]) -> None:
    """The text is cut, never its prompt, for text and for ids."""
    tokenizer = make_tokenizer(max_input_tokens=6, prompts={"query": "sat on "})
    assert [kept] == ids_of(tokenizer.encode(inputs, truncate=truncate, prompt_name="query"))


@pytest.mark.parametrize("truncate", [Truncate.START, Truncate.END])
@pytest.mark.parametrize("inputs", ["cat red", [CLS, CAT, 11, SEP]])
def test_a_prompt_that_leaves_no_room_is_refused(truncate: Truncate, inputs: Inputs) -> None:
    """A vector of the prompt alone, the same for every text, is never an answer."""
    tokenizer = make_tokenizer(max_input_tokens=4, prompts={"query": "sat on "})
    with pytest.raises(InvalidInputError) as caught:
        tokenizer.encode(inputs, truncate=truncate, prompt_name="query")
    assert "prompt_name" == caught.value.param


def test_a_merged_end_of_the_prompt_counts_as_text() -> None:
    """Truncation at the start does not keep the text's first word for one of the prompt's."""
    words = ("[UNK]", "▁query", "▁", "▁x", "▁y", "▁z", "a")
    raw = tokenizers.Tokenizer(
        WordLevel({word: index for index, word in enumerate(words)}, unk_token="[UNK]")
    )
    raw.pre_tokenizer = Metaspace()
    tokenizer = make_tokenizer(
        raw, vocabulary_size=len(words), max_input_tokens=3, prompts={"query": "query "}
    )
    (encoding,) = tokenizer.encode("x y z", truncate=Truncate.START, prompt_name="query")
    assert [words.index(word) for word in ("▁query", "▁y", "▁z")] == encoding.input_ids.tolist()


# The tokenizer itself


def test_truncation_and_padding_of_the_file_are_ignored() -> None:
    """A tokenizer.json that truncates or pads by itself would change counts behind our back."""
    raw = fake_tokenizer()
    raw.enable_truncation(4)
    raw.enable_padding(length=8)
    assert [[CLS, THE, A, CAT, DOG, SEP], [CLS, THE, SEP]] == ids_of(
        make_tokenizer(raw).encode(["the a cat dog", "the"])
    )


def test_a_tokenizer_without_a_token_for_the_probe_is_refused() -> None:
    """Special tokens that can't be told from text are not guessed."""
    raw = tokenizers.Tokenizer(WordLevel({"[CLS]": 0, "cat": 1}, unk_token="[UNK]"))
    raw.pre_tokenizer = Whitespace()
    raw.normalizer = tokenizers.normalizers.Replace("a", "")
    with pytest.raises(ManifestError):
        make_tokenizer(raw)


def test_a_file_that_is_no_tokenizer_is_refused(tmp_path: Path) -> None:
    """A broken tokenizer.json is a fault of the bundle."""
    path = tmp_path / "tokenizer.json"
    path.write_text("{}")
    with pytest.raises(ManifestError):
        Tokenizer.from_file(
            path,
            vocabulary_size=16,
            max_input_tokens=8,
            max_client_batch_size=4,
            max_request_tokens=100,
            prompts={},
        )


def test_a_tokenizer_file_gives_the_same_ids(tmp_path: Path) -> None:
    """A tokenizer read from a file is the one that was written."""
    path = tmp_path / "tokenizer.json"
    fake_tokenizer().save(str(path))
    tokenizer = Tokenizer.from_file(
        path,
        vocabulary_size=16,
        max_input_tokens=8,
        max_client_batch_size=4,
        max_request_tokens=100,
        prompts={},
    )
    assert [[CLS, THE, CAT, SEP]] == ids_of(tokenizer.encode("the cat"))


def test_threads_may_share_a_tokenizer() -> None:
    """Requests that are encoded at the same time do not disturb each other."""
    tokenizer = make_tokenizer(max_input_tokens=64, prompts={"query": "the dog "})
    texts = [" ".join(["cat", "dog", "sat", "on"][: 1 + n % 4]) for n in range(200)]
    expected = [ids_of(tokenizer.encode(text, prompt_name="query")) for text in texts]
    with ThreadPoolExecutor(8) as threads:
        actual = list(
            threads.map(lambda text: ids_of(tokenizer.encode(text, prompt_name="query")), texts)
        )
    assert expected == actual


def test_a_tokenizer_that_fails_at_what_it_does_not_know_is_refused(tmp_path: Path) -> None:
    """It would fail at the first text with a word that it lacks, long after the start."""
    model = tokenizers.models.WordPiece({"a": 0, "[CLS]": 1}, unk_token="[UNK]")
    path = tmp_path / "tokenizer.json"
    tokenizers.Tokenizer(model).save(str(path))
    with pytest.raises(ManifestError, match=r"tokenizer\.json is not a tokenizer: .*UNK"):
        Tokenizer.from_file(
            path,
            vocabulary_size=2,
            max_input_tokens=8,
            max_client_batch_size=1,
            max_request_tokens=8,
            prompts={},
        )
