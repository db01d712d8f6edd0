from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import pytest

from engine.errors import ExportError
from engine.export.gguf_file import GgufFile
from engine.export.gguf_tokenizer import tokenizer_of_gguf

CONTROL, NORMAL, USER = (
    int(kind)
    for kind in (gguf.TokenType.CONTROL, gguf.TokenType.NORMAL, gguf.TokenType.USER_DEFINED)
)
WORDPIECE = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "\u2581cat", "s", "[unused1]", "\u2581sat"]
BYTES = ["<s>", "</s>", "<unk>", "c", "a", "t", "\u0120", "ca", "cat", "\u0120cat"]


def _file(path: Path, *, model: object, tokens: list[str], **keys: Any) -> GgufFile:  # noqa: ANN401
    """A GGUF file with a vocabulary; `keys` are under `tokenizer.ggml`, None leaves one out."""
    writer = gguf.GGUFWriter(path / "v.gguf", "bert")
    types = [CONTROL if token[0] in "[<" and "unused" not in token else NORMAL for token in tokens]
    values = {"model": model, "tokens": tokens, "token_type": types} | keys
    for key, value in values.items():
        name = f"tokenizer.ggml.{key}"
        if isinstance(value, list):
            writer.add_array(name, value)
        elif isinstance(value, bool):
            writer.add_bool(name, value)
        elif isinstance(value, int):
            (writer.add_int32 if value < 0 else writer.add_uint32)(name, value)
        elif value is not None:
            writer.add_string(name, value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return GgufFile(path / "v.gguf")


def _wordpiece(path: Path, tokens: list[str] = WORDPIECE, **keys: Any) -> GgufFile:  # noqa: ANN401
    roles = {"unknown_token_id": 1, "bos_token_id": 2, "seperator_token_id": 3}
    return _file(path, tokens=tokens, **({"model": "bert"} | roles | keys))


def _bpe(path: Path, **keys: Any) -> GgufFile:  # noqa: ANN401
    given: dict[str, Any] = {
        "pre": "gpt-2",
        "merges": ["c a", "ca t", "\u0120 cat"],
        "bos_token_id": 0,
        "eos_token_id": 1,
    }
    return _file(path, model="gpt2", tokens=BYTES, **(given | keys))


def test_phantom_spaces_become_whole_words(tmp_path: Path) -> None:
    tokenizer = tokenizer_of_gguf(_wordpiece(tmp_path))
    assert tokenizer.encode("Cats sat").tokens == ["[CLS]", "cat", "##s", "sat", "[SEP]"]


def test_names_in_brackets_keep_their_form(tmp_path: Path) -> None:
    assert tokenizer_of_gguf(_wordpiece(tmp_path)).token_to_id("[unused1]") == 6


def test_special_tokens_in_a_text_are_one_token(tmp_path: Path) -> None:
    tokenizer = tokenizer_of_gguf(_wordpiece(tmp_path))
    assert tokenizer.encode("cat[SEP]cat").tokens == ["[CLS]", "cat", "[SEP]", "cat", "[SEP]"]


@pytest.mark.parametrize(("stated", "word"), [(None, "Cat"), (True, "cat"), (False, "Cat")])
def test_case_is_what_the_file_states_else_what_its_words_show(
    tmp_path: Path, stated: bool | None, word: str
) -> None:
    tokens = [*WORDPIECE, "\u2581Cat"]
    file = _wordpiece(tmp_path, tokens, **{"normalizer.lowercase": stated})
    assert tokenizer_of_gguf(file).encode("Cat").tokens == ["[CLS]", word, "[SEP]"]


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({}, ["cat", "\u0120cat"]),
        ({"pre": "roberta-bpe"}, ["<s>", "cat", "\u0120cat", "</s>"]),
        ({"add_bos_token": True}, ["<s>", "cat", "\u0120cat"]),
        ({"pre": "roberta-bpe", "add_bos_token": False}, ["cat", "\u0120cat", "</s>"]),
        ({"add_space_prefix": True}, ["\u0120cat", "\u0120cat"]),
    ],
)
def test_bpe_is_framed_as_stated(tmp_path: Path, keys: Any, expected: list[str]) -> None:  # noqa: ANN401
    assert tokenizer_of_gguf(_bpe(tmp_path, **keys)).encode("cat cat").tokens == expected


def test_a_token_that_a_user_defined_is_not_split(tmp_path: Path) -> None:
    types = [CONTROL] * 3 + [NORMAL] * 6 + [USER]
    tokens = [*BYTES[:-1], "tac"]
    file = _file(
        tmp_path, model="gpt2", tokens=tokens, pre="gpt-2", merges=["c a"], token_type=types
    )
    assert tokenizer_of_gguf(file).encode("tac").tokens == ["tac"]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"pre": "llama-bpe"}, "'llama-bpe', which is not known.*roberta-bpe"),
        ({"merges": None}, "no valid list of BPE merges"),
        ({"merges": ["ca"]}, "no valid list of BPE merges"),
        ({"add_bos_token": True, "bos_token_id": None}, "no token for the role 'bos'"),
        ({"add_bos_token": True, "bos_token_id": 99}, "no token for the role 'bos'"),
    ],
)
def test_a_damaged_bpe_vocabulary_is_one_error(tmp_path: Path, keys: Any, message: str) -> None:  # noqa: ANN401
    with pytest.raises(ExportError, match=message):
        tokenizer_of_gguf(_bpe(tmp_path, **keys))


def test_a_token_that_is_there_twice_is_named(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="'cat' twice"):
        tokenizer_of_gguf(_wordpiece(tmp_path, [*WORDPIECE, "\u2581cat"]))


def test_an_unknown_kind_names_the_known_ones(tmp_path: Path) -> None:
    file = _file(tmp_path, model="llama", tokens=["a"])
    with pytest.raises(ExportError, match=r"'llama'.*bert, gpt2, t5"):
        tokenizer_of_gguf(file)


def test_unigram_needs_scores(tmp_path: Path) -> None:
    file = _file(tmp_path, model="t5", tokens=["<unk>", "a"])
    with pytest.raises(ExportError, match="no score for each token"):
        tokenizer_of_gguf(file)


DAMAGED: dict[str, tuple[dict[str, Any], str]] = {
    "an id below 0": ({"unknown_token_id": -1}, "names no token for the role 'unknown': its id"),
    "an id as text": ({"bos_token_id": "2"}, "role 'bos': its id is 2, of 8 tokens"),
    "a type that is not known": ({"token_type": [NORMAL] * 7 + [65281]}, "of the type 65281"),
    "too few types": ({"token_type": [NORMAL] * 7}, "8 tokens, but types for 7"),
    "types as texts": ({"token_type": ["1"] * 8}, "token_type of another type than a list of int"),
    "a model that is no text": ({"model": 3}, "tokenizer.ggml.model=3; it must be a text"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_what_contradicts_itself_is_named(tmp_path: Path, name: str) -> None:
    keys, message = DAMAGED[name]
    with pytest.raises(ExportError, match=message):
        tokenizer_of_gguf(_wordpiece(tmp_path, **keys))


def test_merges_of_tokens_that_are_not_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="no valid list of BPE merges"):
        tokenizer_of_gguf(_bpe(tmp_path, merges=["c a", "ca x"]))
