"""A GGUF file's vocabulary -> a tokenizer of the `tokenizers` library.

The algorithms are the models' own (BERT's WordPiece, GPT-2's BPE, SentencePiece's Unigram), not
llama.cpp's versions of them; `tokenizer_check` compares the two.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import gguf
from tokenizers import AddedToken, Regex, Tokenizer, normalizers, pre_tokenizers
from tokenizers.models import BPE, Unigram, WordPiece
from tokenizers.processors import TemplateProcessing

from engine.errors import ExportError
from engine.export.gguf_file import GgufFile

_T = TypeVar("_T")
_SHOWN = 40
_UNDEFINED = 0
"""A type of tokens that llama.cpp has and the gguf package has not."""
_PHANTOM_SPACE = "\u2581"
_BRACKETED = re.compile(r"\[\S+\]")
_MAX_WORD_CHARACTERS = 100
"""BERT turns longer words into one unknown token."""
_GPT2_PRE = frozenset(
    {"gpt-2", "jina-es", "jina-de", "jina-v1-en", "jina-v2-es", "jina-v2-de", "jina-v2-code"}
    | {"roberta-bpe"}
)
"""Values of `tokenizer.ggml.pre` that split words as GPT-2 does."""
_FRAMED_PRE = frozenset({"jina-v1-en", "jina-v2-code", "roberta-bpe"})
"""Of these, the ones that put <s> and </s> around a text where the file states nothing."""


@dataclass(frozen=True, slots=True)
class _Vocabulary:
    """The part of the header that every algorithm needs."""

    file: GgufFile
    tokens: list[str]
    types: list[int]

    def key(self, name: str, default: Any = None) -> Any:  # noqa: ANN401 - the file decides
        return self.file.optional(f"tokenizer.ggml.{name}", default)

    def token(self, *roles: str) -> str | None:
        """The token of the first role that the file states."""
        for role in roles:
            index = self.token_id(role)
            if index is not None:
                return self.tokens[index]
        return None

    def token_id(self, role: str) -> int | None:
        """The id that the file states for a role."""
        index = self.key(f"{role}_token_id")
        if index is None or (isinstance(index, int) and 0 <= index < len(self.tokens)):
            return index
        raise ExportError(
            f"{self.file.path} names no token for the role {role!r}: its id is "
            f"{str(index)[:_SHOWN]}, of {len(self.tokens)} tokens."
        )

    def required_token(self, *roles: str) -> str:
        token = self.token(*roles)
        if token is None:
            raise ExportError(f"{self.file.path} names no token for the role {roles[0]!r}.")
        return token


def tokenizer_of_gguf(file: GgufFile) -> Tokenizer:
    """The file's tokenizer, without truncation and padding.

    Raises:
        ExportError: the vocabulary is damaged or of a kind that is not known.
    """
    kind = file.text("tokenizer.ggml.model")
    if kind not in _MAKERS:
        raise ExportError(
            f"{file.path} has a tokenizer of the kind {kind!r}, which can't be made. "
            f"Known: {', '.join(_MAKERS)}. Take a source that has its tokenizer.json."
        )
    tokens = _list(file, "tokens", str)
    types = _list(file, "token_type", int) or [int(gguf.TokenType.NORMAL)] * len(tokens)
    if len(types) != len(tokens):
        raise ExportError(f"{file.path} has {len(tokens)} tokens, but types for {len(types)}.")
    unknown = set(types) - set(map(int, gguf.TokenType)) - {_UNDEFINED}
    if unknown:
        raise ExportError(f"{file.path} has tokens of the type {min(unknown)}, which is not known.")
    return _MAKERS[kind](_Vocabulary(file, tokens, types))


def _list(file: GgufFile, name: str, kind: type[_T]) -> list[_T]:
    """A list of the vocabulary, empty where the file has none.

    Raises:
        ExportError: there is something else under its key.
    """
    key = f"tokenizer.ggml.{name}"
    values = file.optional(key, [])
    if not isinstance(values, list) or not all(isinstance(value, kind) for value in values):
        raise ExportError(f"{file.path} has {key} of another type than a list of {kind.__name__}.")
    return values


def _wordpiece(vocabulary: _Vocabulary) -> Tokenizer:
    """BERT's. In the file, a token that starts a word begins with U+2581, others are bare."""
    types = zip(vocabulary.tokens, vocabulary.types, strict=True)
    words = [_without_phantom_space(token, kind) for token, kind in types]
    spelled = _Vocabulary(vocabulary.file, words, vocabulary.types)
    unknown = spelled.required_token("unknown")
    tokenizer = Tokenizer(
        WordPiece(
            _unique(spelled),
            unk_token=unknown,
            max_input_chars_per_word=_MAX_WORD_CHARACTERS,
            continuing_subword_prefix="##",
        )
    )
    lowercase = _lowercase(spelled)
    tokenizer.normalizer = normalizers.BertNormalizer(
        lowercase=lowercase,
        strip_accents=bool(spelled.key("normalizer.strip_accents", lowercase)),
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    _frame(
        tokenizer,
        spelled.required_token("cls", "bos"),
        spelled.required_token("seperator", "eos"),
    )
    _add_special_tokens(tokenizer, spelled)
    return tokenizer


def _without_phantom_space(token: str, kind: int) -> str:
    is_text = kind in (gguf.TokenType.NORMAL, gguf.TokenType.USER_DEFINED)
    if len(token) > 1 and token.startswith(_PHANTOM_SPACE):
        return token[1:]
    # Some writers leave tokens such as [unused1] as they are.
    return token if not is_text or _BRACKETED.fullmatch(token) else f"##{token}"


def _lowercase(vocabulary: _Vocabulary) -> bool:
    """What the file states; else whether the vocabulary has no capital letter in any word."""
    stated = vocabulary.key("normalizer.lowercase")
    if stated is not None:
        return bool(stated)
    return not any(
        re.search("[A-Z]", token)
        for token, kind in zip(vocabulary.tokens, vocabulary.types, strict=True)
        if kind == gguf.TokenType.NORMAL and not _BRACKETED.fullmatch(token)
    )


def _byte_level_bpe(vocabulary: _Vocabulary) -> Tokenizer:
    """GPT-2's."""
    pre = str(vocabulary.key("pre", ""))
    if pre not in _GPT2_PRE:
        raise ExportError(
            f"{vocabulary.file.path} splits words as {pre!r}, which is not known. "
            f"Known: {', '.join(sorted(_GPT2_PRE))}. Take a source that has its tokenizer.json."
        )
    merges = [tuple(row.split(" ", 1)) for row in _list(vocabulary.file, "merges", str)]
    ids = _unique(vocabulary)
    if not merges or any(
        len(pair) != 2 or not {*pair, "".join(pair)} <= ids.keys() for pair in merges
    ):
        raise ExportError(f"{vocabulary.file.path} has no valid list of BPE merges.")
    unknown = vocabulary.token("unknown")
    tokenizer = Tokenizer(BPE(ids, [(first, last) for first, last in merges], unk_token=unknown))
    add_space = bool(vocabulary.key("add_space_prefix"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=add_space, use_regex=True)
    framed = pre in _FRAMED_PRE
    _frame_as_stated(tokenizer, vocabulary, bos=framed, eos=framed)
    _add_special_tokens(tokenizer, vocabulary)
    return tokenizer


def _unigram(vocabulary: _Vocabulary) -> Tokenizer:
    """SentencePiece's, as XLM-R and T5 have it."""
    scores = _list(vocabulary.file, "scores", float)
    if len(scores) != len(vocabulary.tokens) or not all(map(math.isfinite, scores)):
        raise ExportError(f"{vocabulary.file.path} has no score for each token.")
    _unique(vocabulary)
    rows = list(zip(vocabulary.tokens, scores, strict=True))
    tokenizer = Tokenizer(Unigram(rows, vocabulary.token_id("unknown")))
    joins = bool(vocabulary.key("remove_extra_whitespaces"))
    charsmap = bytes(byte & 0xFF for byte in _list(vocabulary.file, "precompiled_charsmap", int))
    steps: list[normalizers.Normalizer] = [normalizers.Precompiled(charsmap)] if charsmap else []
    if joins:
        steps += [normalizers.Strip(), normalizers.Replace(Regex(" {2,}"), " ")]
    if steps:
        tokenizer.normalizer = normalizers.Sequence(steps)
    prefixed = vocabulary.key("add_space_prefix") is not False
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(
        replacement=_PHANTOM_SPACE, prepend_scheme="always" if prefixed else "never"
    )
    _frame_as_stated(tokenizer, vocabulary, bos=False, eos=True)
    _add_special_tokens(tokenizer, vocabulary)
    return tokenizer


_MAKERS: Mapping[str, Callable[[_Vocabulary], Tokenizer]] = {
    "bert": _wordpiece,
    "gpt2": _byte_level_bpe,
    "t5": _unigram,
}
"""By `tokenizer.ggml.model`."""


def _unique(vocabulary: _Vocabulary) -> dict[str, int]:
    ids = {token: index for index, token in enumerate(vocabulary.tokens)}
    if len(ids) < len(vocabulary.tokens):
        twice = next(token for index, token in enumerate(vocabulary.tokens) if ids[token] != index)
        raise ExportError(f"{vocabulary.file.path} has the token {twice!r} twice.")
    return ids


def _frame_as_stated(
    tokenizer: Tokenizer, vocabulary: _Vocabulary, *, bos: bool, eos: bool
) -> None:
    """Put the tokens around a text that the file asks for; else what the arguments say."""
    start = end = None
    if vocabulary.key("add_bos_token", bos):
        start = vocabulary.required_token("bos", "cls")
    if vocabulary.key("add_eos_token", eos) or vocabulary.key("add_sep_token", eos):
        end = vocabulary.required_token("eos", "seperator")
    _frame(tokenizer, start, end)


def _frame(tokenizer: Tokenizer, start: str | None, end: str | None) -> None:
    special = [token for token in (start, end) if token is not None]
    if special:
        tokenizer.post_processor = TemplateProcessing(
            single=[*([start] if start else []), "$A", *([end] if end else [])],
            special_tokens=[(token, tokenizer.token_to_id(token)) for token in set(special)],
        )


def _add_special_tokens(tokenizer: Tokenizer, vocabulary: _Vocabulary) -> None:
    """Tokens that are recognised in a text before it is split."""
    for kind, special in ((gguf.TokenType.CONTROL, True), (gguf.TokenType.USER_DEFINED, False)):
        added = [
            AddedToken(token, special=special, normalized=False)
            for token, found in zip(vocabulary.tokens, vocabulary.types, strict=True)
            if found == kind
        ]
        (tokenizer.add_special_tokens if special else tokenizer.add_tokens)(added)
