"""Which of a model's prompts is for queries, which for documents: names differ between models."""

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

_SEPARATOR = re.compile(r"[-. ]")


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
