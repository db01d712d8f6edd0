"""A model's prompts: what they may be, and which is for queries, which for documents."""

from __future__ import annotations

import re
from collections.abc import Mapping

from engine.errors import InputTypeError

KINDS: Mapping[str, tuple[str, ...]] = {
    "query": ("query", "search_query", "retrieval_query", "s2p_query"),
    "document": (
        "document",
        "passage",
        "search_document",
        "retrieval_document",
        "retrieval_passage",
        "corpus",
        "text",
        "doc",
    ),
    "classification": ("classification",),
    "clustering": ("clustering",),
}
"""The words for each kind of input, the likeliest first: names of prompts (query, document, passage
and corpus are those of sentence-transformers' `encode_query` and `encode_document`), and what
clients of other APIs say (Cohere, NVIDIA NIM, Voyage, Jina, Gemini)."""

_CHARACTERS_A_TOKEN = 64
"""Several times what a token of text has, so that no prompt that leaves room for one is refused."""
_MOST_CHARACTERS = 1 << 18
_SHOWN = 60
_SEPARATOR = re.compile(r"[-. ]")


def is_unicode(text: str) -> bool:
    """Whether it can be written as UTF-8: JSON and command lines may give lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def fault_of_prompts(prompts: Mapping[str, str], max_input_tokens: int) -> str | None:
    """What is wrong with a model's prompts, which are tokenized whenever it is loaded.

    They may not be longer than what `max_input_tokens` can hold, with a margin. None if all is
    well.
    """
    limit = min(_CHARACTERS_A_TOKEN * max_input_tokens, _MOST_CHARACTERS)
    for name, text in prompts.items():
        if not is_unicode(name + text):
            return f"the prompt {name[:_SHOWN]!r} is not valid Unicode: it has a lone surrogate"
        if len(name) > limit or len(text) > limit:
            return (
                f"the prompt {name[:_SHOWN]!r} has {max(len(name), len(text))} characters, and at "
                f"most {limit} are taken by a model of {max_input_tokens} tokens"
            )
    return None


def kind_of(input_type: str) -> str | None:
    """The kind that a word stands for, in any case of letters; None of an unknown word."""
    word = _folded(input_type)
    return next((kind for kind, words in KINDS.items() if word in words), None)


def prompt_name_for(input_type: str, prompts: Mapping[str, str]) -> str | None:
    """The name of the model's prompt for inputs of a type.

    None where it has none of that kind, as of many models that have one for queries only; then the
    default prompt holds, if there is one, as in sentence-transformers.

    Raises:
        InputTypeError: the word is unknown, or the model has prompts, but none that tells how such
            inputs are meant.
    """
    kind = kind_of(input_type)
    if kind is None:
        raise InputTypeError(input_type=input_type, known=list(KINDS))
    names = {_folded(name): name for name in prompts}
    for word in (_folded(input_type), *KINDS[kind]):
        if word in names:
            return names[word]
    retrieval = {*KINDS["query"], *KINDS["document"]} if kind in ("query", "document") else set()
    if any(prompts.values()) and not retrieval & names.keys():
        raise InputTypeError(input_type=input_type, known=list(KINDS), prompts=sorted(prompts))
    return None


def _folded(name: str) -> str:
    return _SEPARATOR.sub("_", name.lower())
