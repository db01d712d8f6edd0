from __future__ import annotations

import pytest

from engine.errors import InputTypeError
from engine.prompts import KINDS, kind_of, prompt_name_for

E5 = {"query": "query: ", "passage": "passage: "}
NOMIC = {
    "search_query": "search_query: ",
    "search_document": "search_document: ",
    "classification": "classification: ",
    "clustering": "clustering: ",
}
BGE = {"query": "Represent this sentence for searching relevant passages: "}
GEMMA = {
    "query": "task: search result | query: ",
    "document": "title: none | text: ",
    "Retrieval-query": "task: search result | query: ",
    "Clustering": "task: clustering | query: ",
    "STS": "task: sentence similarity | query: ",
}
JINA = {"retrieval.query": "Query: ", "retrieval.passage": "Passage: ", "separation": "S: "}
"""Prompts as the models' config_sentence_transformers.json have them."""


@pytest.mark.parametrize(
    ("prompts", "input_type", "name"),
    [
        (E5, "query", "query"),
        (E5, "search_query", "query"),
        (E5, "document", "passage"),
        (E5, "passage", "passage"),
        (E5, "search_document", "passage"),
        (E5, "QUERY", "query"),
        (NOMIC, "query", "search_query"),
        (NOMIC, "document", "search_document"),
        (NOMIC, "passage", "search_document"),
        (NOMIC, "clustering", "clustering"),
        (NOMIC, "classification", "classification"),
        (BGE, "query", "query"),
        (BGE, "document", None),
        (GEMMA, "query", "query"),
        (GEMMA, "retrieval.query", "Retrieval-query"),
        (GEMMA, "RETRIEVAL_DOCUMENT", "document"),
        (GEMMA, "clustering", "Clustering"),
        (JINA, "query", "retrieval.query"),
        (JINA, "document", "retrieval.passage"),
        ({"query": "q", "document": ""}, "document", "document"),
        ({"document": "d"}, "query", None),
        ({"query": "", "document": ""}, "clustering", None),
        *(({}, word, None) for words in KINDS.values() for word in words),
    ],
)
def test_the_prompt_of_a_type(prompts: dict[str, str], input_type: str, name: str | None) -> None:
    assert prompt_name_for(input_type, prompts) == name


@pytest.mark.parametrize(
    ("prompts", "input_type"),
    [(E5, "clustering"), ({"instruct": "i"}, "query"), ({"STS": "s"}, "document")],
)
def test_a_model_whose_prompts_do_not_tell_refuses_and_lists_them(
    prompts: dict[str, str], input_type: str
) -> None:
    with pytest.raises(InputTypeError, match=f"It has the prompts {', '.join(sorted(prompts))}"):
        prompt_name_for(input_type, prompts)


@pytest.mark.parametrize("word", ["", "string", "image", "qüery", "x" * 1000])
@pytest.mark.parametrize("prompts", [{}, E5])
def test_an_unknown_word_is_refused_whatever_the_model(word: str, prompts: dict[str, str]) -> None:
    with pytest.raises(InputTypeError, match="Known: query, document, classification, clustering"):
        prompt_name_for(word, prompts)


def test_no_word_stands_for_two_kinds() -> None:
    words = [word for words in KINDS.values() for word in words]
    assert len(words) == len(set(words))
    for kind in KINDS:
        assert kind_of(kind) == kind
