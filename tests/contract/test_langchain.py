"""LangChain's client for OpenAI against a real socket."""

from __future__ import annotations

import numpy as np
import openai
import pytest
import tiktoken
import tiktoken.registry
from langchain_openai import OpenAIEmbeddings
from pydantic import SecretStr

from engine.testing import fake_engine
from tests.functions.targets.serving import ServerProcess

TEXTS = ["the cat", "a dog sat", "the cat"]


def _client(server: ServerProcess, *, check_embedding_ctx_length: bool) -> OpenAIEmbeddings:
    return OpenAIEmbeddings(
        model="fake-model",
        openai_api_base=f"{server.url}/v1",
        openai_api_key=SecretStr("any"),
        check_embedding_ctx_length=check_embedding_ctx_length,
        max_retries=0,
    )


@pytest.fixture
def _encoding_of_openai(monkeypatch: pytest.MonkeyPatch) -> None:
    """Instead of fetching OpenAI's vocabulary: one id a byte, as large as theirs are."""
    ranks = {bytes([byte]): 50_000 + byte for byte in range(256)}
    name = "cl100k_base"
    encoding = tiktoken.Encoding(name, pat_str=".", mergeable_ranks=ranks, special_tokens={})
    monkeypatch.setitem(tiktoken.registry.ENCODINGS, name, encoding)


def test_texts_are_embedded(server: ServerProcess) -> None:
    client = _client(server, check_embedding_ctx_length=False)
    with fake_engine() as engine:
        expected = engine.embed(TEXTS).vectors
    assert np.array_equal(np.array(client.embed_documents(TEXTS), np.float32), expected)
    assert np.array_equal(np.array(client.embed_query("the cat"), np.float32), expected[0])


@pytest.mark.usefixtures("_encoding_of_openai")
def test_ids_of_openais_tokenizer_are_refused_with_the_cure(server: ServerProcess) -> None:
    """By default it sends the ids of OpenAI's tokenizer, which mean nothing to another model."""
    client = _client(server, check_embedding_ctx_length=True)
    with pytest.raises(openai.BadRequestError) as caught:
        client.embed_documents(TEXTS)
    assert "check_embedding_ctx_length=False" in str(caught.value)
    assert caught.value.param == "input[0]"
