"""What a checkpoint's files say, beside what sentence-transformers makes of the same files.

Each case is exported, and its ids and vectors are those of `SentenceTransformer.encode` (committed,
see tests/golden), or it is refused with a line that names the fact.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.backends.onnx import OnnxBackend
from engine.errors import ExportError
from engine.export.gguf_file import GgufFile
from engine.export.model_source import ModelSource, Opening
from engine.export.onnx_writer import write_onnx
from engine.export.options import ExportOptions
from engine.export.source_kinds import open_source
from engine.golden import decode_vector
from engine.pooling import pool
from engine.postprocess import cut, finish
from engine.tokenizer import Tokenizer
from engine.types import Batch, Encoding, FloatArray, Pooling, Truncate
from tests.golden.overlay import copy_with
from tests.torch_golden import GOLDEN

_DOCUMENT: dict[str, Any] = json.loads((GOLDEN / "parity.json").read_bytes())
_TEXTS: dict[str, str] = _DOCUMENT["texts"]
_CASES: dict[str, dict[str, Any]] = {case["name"]: case for case in _DOCUMENT["cases"]}
_MINIMUM_COSINE = 0.9999
_MINIMUM_COSINES = {"half precision in model_kwargs": 0.999}
"""sentence-transformers computes this one in bfloat16, and we in float32."""
_CUT_AT_START = {
    "cut at the start",
    "cut at the start by tokenizer.json",
    "side in tokenizer_args",
}
_POOLING_OF_NOTHING = dict.fromkeys(
    (name for name in _CASES if name.startswith("no modules.json")), Pooling.MEAN
)
"""Where the source states none, sentence-transformers takes the mean; here it is to be said."""
_REFUSED = {
    "class of its own": "tokenizer_class OurTokenizer is not known here",
    "Splinter class": "tokenizer_class SplinterTokenizer is not known here",
    "Herbert class": "tokenizer_class HerbertTokenizer is not known here",
    "Japanese class": "BertJapaneseTokenizer",
    "tokenizer with code": "auto_map",
    "special tokens split": "split_special_tokens=True",
    "no tokenizer.json": "tokenizer.json is missing",
    "class in tokenizer_args": "tokenizer_type='roberta'",
    "activation in config_args": "hidden_act='relu'",
    "unknown key": "bread='butter'",
    "task": "transformer_task='fill-mask'",
    "other output": "modality_config=",
    "processing": "processing_kwargs={'text': {'max_length': 16}}",
    "processing at all": "processing_kwargs=",
    "length of queries": "query_length=16",
    "other tokenizer": "tokenizer_name_or_path='elsewhere'",
    "truncated, dot": "truncate_dim=32",
    "unknown default prompt": "default_prompt_name='bread'",
    "sparse": "SparseEncoder",
    "multi-vector": "MultiVectorEncoder",
    "reranker": "CrossEncoder",
    "code of its own": "'custom_st.Transformer'",
    "pooling of its own": "'custom_st.Pooling'",
    "other package": "'other_package.models.Pooling'",
    "sparse pooling": "SpladePooling",
    "Normalize before Pooling": "Transformer, Normalize, Pooling",
    "two poolings": "Transformer, Pooling, Pooling",
    "Dense": "Dense",
    "LayerNorm": "LayerNorm",
    "WordWeights": "WordWeights",
    "Transformer alone": "the modules Transformer,",
    "Transformer in a directory": "'0_Transformer'",
    "Normalize of tokens": "module_input_name='token_embeddings'",
    "adapter": "adapter_config.json",
    "pooling max": "the pooling max",
    "pooling mean_sqrt_len_tokens": "the pooling mean_sqrt_len_tokens",
    "pooling weightedmean": "the pooling weightedmean",
    "two modes": "cls + mean",
    "two old modes": "cls_token + mean_tokens",
    "old weighted mean": "the pooling weightedmean_tokens",
    "no mode": "the pooling none",
    "old modes all off": "the pooling none",
    "unknown key of pooling": "bread=1",
    "prompt out of pooling": "include_prompt: false",
    "default prompt, pooling without it": "include_prompt: false",
    "activation": "hidden_act='relu'",
    "activation gelu_new": "hidden_act='gelu_new'",
    "decoder": "is_decoder=True",
    "relative positions": "position_embedding_type='relative_key'",
    "model with code": "auto_map: modeling.OurModel",
    "DistilBERT": "'distilbert'",
    "roberta, lower case asked for": "Lowercase",
    "old mode of 1": "pooling_mode_cls_token=1; true or false",
    "old modes of text": "pooling_mode_cls_token='true'; true or false",
    "roberta, padding is the first token": "pad_token_id=0, that is '<s>', which every text has",
    "roberta, padding is a word": "which is a token of texts",
    "xlm-roberta, padding is the unknown": "which stands for what is unknown",
    "roberta, BERT's class": "BertTokenizer",
    "xlm-roberta, lower case asked for": "Lowercase",
    "xlm-roberta, ALBERT's class": "tokenizer_class AlbertTokenizer is not known here",
    "xlm-roberta, T5's class": "tokenizer_class T5Tokenizer is not known here",
    "xlm-roberta, T5's class in config.json": "tokenizer_class T5Tokenizer is not known here",
}


def rows_of(case: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What sentence-transformers computed; a case may refer to an equal one."""
    rows = case["texts"]
    return rows_of(_CASES[rows]) if isinstance(rows, str) else rows


def opened(case: Mapping[str, Any], directory: Path) -> ModelSource:
    """The case as a source of an export."""
    checkpoint = copy_with(case["base"], case["files"], directory / "checkpoint")
    options = ExportOptions(pooling=_POOLING_OF_NOTHING.get(case["name"]))
    return open_source(Opening(checkpoint, directory, options, lambda _: None))


def encoded(source: ModelSource, case: Mapping[str, Any], directory: Path) -> list[Encoding]:
    """The ids that the server would compute, cut where sentence-transformers cuts."""
    path = directory / "tokenizer.json"
    path.write_text(source.tokenizer_json, encoding="utf-8")
    facts = source.facts
    tokenizer = Tokenizer.from_file(
        path,
        vocabulary_size=source.vocabulary_size,
        max_input_tokens=facts.max_input_tokens,
        max_client_batch_size=1,
        max_request_tokens=100_000,
        prompts=dict(facts.prompts),
        default_prompt_name=facts.default_prompt_name,
    )
    side = Truncate.START if case["name"] in _CUT_AT_START else Truncate.END
    return [
        tokenizer.encode(_TEXTS[row["text"]], truncate=side, prompt_name=row.get("prompt_name"))[0]
        for row in rows_of(case)
    ]


def embedded(source: ModelSource, encodings: list[Encoding], directory: Path) -> FloatArray:
    """Vectors (N, D) of the exported ONNX file, as the server would give them."""
    path = directory / "model.onnx"
    write_onnx(GgufFile(source.most_exact), path)
    facts = source.facts
    backend = OnnxBackend(path, precision="fp32")
    try:
        pooled = pool(backend.run(Batch(tuple(encodings))), facts.required_pooling)
    finally:
        backend.close()
    vectors = finish(pooled, normalize=facts.normalize)
    dimensions = min(facts.default_dimensions or source.dimensions, source.dimensions)
    return cut(vectors, dimensions=dimensions)


@pytest.mark.parametrize("name", [name for name in _CASES if name not in _REFUSED])
def test_the_ids_and_vectors_are_those_of_sentence_transformers(name: str, tmp_path: Path) -> None:
    case = _CASES[name]
    expected = rows_of(case)
    source = opened(case, tmp_path)
    encodings = encoded(source, case, tmp_path)
    wrong = [
        row["text"]
        for row, encoding in zip(expected, encodings, strict=True)
        if row["input_ids"] != encoding.input_ids.tolist()
    ]
    assert wrong == []
    found = embedded(source, encodings, tmp_path).astype(np.float64)
    wanted = np.stack([decode_vector(row["embedding"]) for row in expected]).astype(np.float64)
    assert found.shape == wanted.shape
    lengths = np.linalg.norm(found, axis=1) * np.linalg.norm(wanted, axis=1)
    cosines = np.einsum("nd,nd->n", found, wanted) / lengths
    assert cosines.min() >= _MINIMUM_COSINES.get(name, _MINIMUM_COSINE)
    if not source.facts.normalize:
        assert np.allclose(np.linalg.norm(found, axis=1), np.linalg.norm(wanted, axis=1), rtol=1e-4)


def test_what_sentence_transformers_refuses_is_refused() -> None:
    assert {name for name, case in _CASES.items() if "refused" in case} - set(_REFUSED) == set()


@pytest.mark.parametrize("name", _REFUSED)
def test_what_can_not_be_honoured_is_refused_by_name(name: str, tmp_path: Path) -> None:
    with pytest.raises(ExportError) as caught:
        opened(_CASES[name], tmp_path)
    assert _REFUSED[name] in caught.value.message
    assert "\n" not in caught.value.message
