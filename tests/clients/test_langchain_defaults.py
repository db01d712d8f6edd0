"""LangChain as it is by default, which sends tiktoken's ids, against a server that decodes them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tiktoken
from langchain_openai import OpenAIEmbeddings
from numpy.typing import NDArray
from pydantic import SecretStr

from tests.clients.conftest import CLIENTS, KEY, served
from tests.tiktoken_encodings import encoding_of, fill_cache

MODEL = "all-MiniLM-L6-v2"
MAX_ABS_DIFF = 1e-5
"""What a text's vector may differ by from that of the same text in another batch."""
TEXTS = (CLIENTS / "texts.txt").read_text("utf-8").splitlines()
LONG = [
    "\u4e2d\u6587\u7684\u53e5\u5b50\u5f88\u957f\uff0c\u4f46\u6ca1\u6709\u7a7a\u683c\u3002" * 4,
    " ".join(TEXTS[:8]),
    "A family \U0001f468\u200d\U0001f469\u200d\U0001f467 and signs: " + "\U00012345\U00012346" * 9,
]
WINDOW = 23
"""Tokens, so few that windows end within characters."""
NAMES = {"cl100k_base": None, "o200k_base": "gpt-4o"}
"""The encodings, and of what model LangChain must be told to take each."""


@pytest.fixture(scope="module", params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def url(name: str, default_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    directory = tmp_path_factory.mktemp(name)
    with served(default_bundle, directory, "--token-ids", name) as variables:
        yield variables["OPENAI_BASE_URL"]


@pytest.fixture(autouse=True)
def _vocabularies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """tiktoken would fetch them; it checks that these are the same."""
    for variable, value in fill_cache(tmp_path).items():
        monkeypatch.setenv(variable, value)


def _client(url: str, name: str, **options: object) -> OpenAIEmbeddings:
    return OpenAIEmbeddings(
        model=MODEL,
        openai_api_base=url,
        openai_api_key=SecretStr(KEY),
        tiktoken_model_name=NAMES[name],
        **options,
    )


def _own_vectors(url: str, name: str, texts: list[str]) -> NDArray[np.float64]:
    """Those of the texts, sent as texts."""
    return np.array(_client(url, name, check_embedding_ctx_length=False).embed_documents(texts))


@pytest.mark.model
def test_all_hundred_texts_have_their_own_vectors(url: str, name: str) -> None:
    assert len(TEXTS) == 100
    own = _own_vectors(url, name, TEXTS)
    client = _client(url, name)
    documents = np.array(client.embed_documents(TEXTS))
    queries = np.array([client.embed_query(text) for text in TEXTS])
    for found in (documents, queries):
        assert (np.abs(found - own).max(axis=1) <= MAX_ABS_DIFF).sum() == 100


@pytest.mark.model
def test_a_long_text_has_the_mean_of_its_windows(url: str, name: str) -> None:
    """By length in tokens, scaled to length 1: what LangChain does with windows of any server."""
    encoding = encoding_of(name)
    found = _client(url, name, embedding_ctx_length=WINDOW).embed_documents(LONG)
    cut = 0
    for text, vector in zip(LONG, found, strict=True):
        ids = encoding.encode_ordinary(text)
        windows = [ids[start : start + WINDOW] for start in range(0, len(ids), WINDOW)]
        texts = [_whole_characters(encoding, window) for window in windows]
        cut += "".join(texts) != text
        own = _own_vectors(url, name, texts)
        mean = np.average(own, axis=0, weights=list(map(len, windows)))
        assert len(windows) > 1
        assert np.abs(vector - mean / np.linalg.norm(mean)).max() <= MAX_ABS_DIFF
    assert cut


@pytest.mark.model
def test_a_window_of_a_part_of_a_character_does_not_cost_the_batch(url: str, name: str) -> None:
    """The first window's vector outweighs that of the rest, which says nothing."""
    encoding = encoding_of(name)
    rare = "\U00012345"
    for kept in range(1, len(encoding.encode_ordinary(rare))):
        text = "a" + " word" * (WINDOW - 1 - kept) + rare
        assert len(encoding.encode_ordinary(text)) > WINDOW
        client = _client(url, name, embedding_ctx_length=WINDOW)
        before, found, after = np.array(client.embed_documents([TEXTS[0], text, TEXTS[1]]))
        own = _own_vectors(url, name, [TEXTS[0], text, TEXTS[1]])
        assert np.abs(np.array([before, after]) - own[[0, 2]]).max() <= MAX_ABS_DIFF
        assert found @ own[1] > 0.9


def _whole_characters(encoding: tiktoken.Encoding, ids: list[int]) -> str:
    return encoding.decode_bytes(ids).decode("utf-8", "ignore")
