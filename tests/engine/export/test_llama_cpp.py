"""What llama.cpp itself makes of the GGUF files that are written here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.export.gguf_file import GgufFile
from engine.golden import closeness
from engine.model import FileRole, ModelBundle
from engine.types import FloatArray, IntArray
from tests.engine.export.conftest import GOLDEN, SMALL_BERT, TorchVectors

llama_cpp: Any = pytest.importorskip(
    "llama_cpp", reason="llama.cpp is not installed: that it loads our GGUF files was not checked"
)


_OTHER_TOKENS = {"control-marks", "mixed-scripts-long"}
"""Where llama.cpp 0.3.36 splits at U+0085, which BERT drops, and drops the vowel signs of
Devanagari, which BERT keeps. The engine gives llama.cpp ids, never text."""


class _LlamaCpp:
    """A model, loaded through the C interface."""

    def __init__(self, path: Path) -> None:
        llama_cpp.llama_log_set(_SILENT, None)
        self.model = llama_cpp.llama_model_load_from_file(
            str(path).encode(), llama_cpp.llama_model_default_params()
        )
        assert self.model, f"llama.cpp can't load {path}"
        parameters = llama_cpp.llama_context_default_params()
        parameters.embeddings = True
        parameters.n_ctx = parameters.n_batch = parameters.n_ubatch = 512
        parameters.n_threads = parameters.n_threads_batch = 1
        self.context = llama_cpp.llama_init_from_model(self.model, parameters)
        self.pooling = llama_cpp.llama_pooling_type(self.context)

    def tokenize(self, text: str) -> list[int]:
        data = text.encode()
        ids = (llama_cpp.llama_token * (len(data) + 8))()
        vocabulary = llama_cpp.llama_model_get_vocab(self.model)
        add_special, parse_special = True, False
        count = llama_cpp.llama_tokenize(
            vocabulary, data, len(data), ids, len(ids), add_special, parse_special
        )
        return list(ids[:count])

    def embed(self, input_ids: IntArray) -> FloatArray:
        batch = llama_cpp.llama_batch_init(input_ids.size, 0, 1)
        batch.n_tokens = input_ids.size
        for position, token in enumerate(input_ids.tolist()):
            batch.token[position] = token
            batch.pos[position] = position
            batch.n_seq_id[position] = 1
            batch.seq_id[position][0] = 0
            batch.logits[position] = 1
        assert llama_cpp.llama_encode(self.context, batch) == 0
        pooled = llama_cpp.llama_get_embeddings_seq(self.context, 0)
        size = llama_cpp.llama_model_n_embd(self.model)
        vector = np.array(pooled[:size], dtype=np.float32)
        llama_cpp.llama_batch_free(batch)
        return vector / np.linalg.norm(vector)

    def close(self) -> None:
        llama_cpp.llama_free(self.context)
        llama_cpp.llama_model_free(self.model)


@llama_cpp.llama_log_callback  # type: ignore[untyped-decorator] # llama_cpp has no types
def _SILENT(level: int, text: bytes, data: object) -> None:  # noqa: N802 - a constant callback
    """Drop llama.cpp's log."""


@pytest.fixture(scope="module")
def small(small_bert_gguf: GgufFile) -> Iterator[_LlamaCpp]:
    loaded = _LlamaCpp(small_bert_gguf.path)
    yield loaded
    loaded.close()


def test_it_reads_the_pooling(small: _LlamaCpp) -> None:
    assert small.pooling == llama_cpp.LLAMA_POOLING_TYPE_CLS


def test_it_computes_the_vectors_of_torch(small: _LlamaCpp, small_bert_torch: TorchVectors) -> None:
    vectors = np.stack([small.embed(ids) for ids in small_bert_torch.input_ids])
    assert closeness(small_bert_torch.vectors, vectors).min_cosine >= 0.9999


def test_it_reads_the_vocabulary(small: _LlamaCpp) -> None:
    rows = json.loads((SMALL_BERT / "golden.json").read_bytes())["texts"]
    whole = [row for row in rows if not row.get("truncated")]
    other = {row["name"] for row in whole if small.tokenize(row["text"]) != row["input_ids"]}
    assert len(whole) > 10
    assert other == _OTHER_TOKENS


@pytest.mark.model
def test_it_computes_the_default_models_vectors(default_bundle: ModelBundle) -> None:
    entry = default_bundle.manifest.file(FileRole.GGUF)
    assert entry is not None
    loaded = _LlamaCpp(default_bundle.path(entry))
    torch = TorchVectors.load(GOLDEN / "all-MiniLM-L6-v2.json")
    vectors = np.stack([loaded.embed(ids) for ids in torch.input_ids])
    found = closeness(torch.vectors, vectors)
    loaded.close()
    assert found.min_cosine >= 0.9999
