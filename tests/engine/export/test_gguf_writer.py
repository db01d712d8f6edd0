from __future__ import annotations

import json
from pathlib import Path

import gguf
import numpy as np
import pytest
import safetensors.numpy

from engine.errors import ExportError, UnsupportedArchitectureError
from engine.export.architectures.bert import Bert
from engine.export.checkpoint import Checkpoint
from engine.export.gguf_file import GgufFile
from engine.export.gguf_writer import write_gguf
from engine.types import Pooling


def test_every_tensor_is_the_checkpoints_bit_for_bit(
    small_bert: Checkpoint, small_bert_gguf: GgufFile
) -> None:
    tensors = safetensors.numpy.load_file(small_bert.weights[0])
    mapping = Bert().checkpoint_tensors(small_bert.config, frozenset(tensors))
    assert small_bert_gguf.names == frozenset(mapping)
    for target, source in mapping.items():
        assert small_bert_gguf.tensor(target).tobytes() == tensors[source.name].tobytes()


def test_hyperparameters_are_those_of_the_configuration(small_bert_gguf: GgufFile) -> None:
    expected = {
        "context_length": 256,
        "embedding_length": 64,
        "feed_forward_length": 128,
        "block_count": 3,
        "attention.head_count": 4,
        "attention.causal": False,
        "attention.layer_norm_epsilon": pytest.approx(1e-12),
        "pooling_type": int(gguf.PoolingType.CLS),
        "vocab_size": 1520,
    }
    assert {key: small_bert_gguf.hyperparameter(key) for key in expected} == expected


def test_the_vocabulary_has_phantom_spaces(
    small_bert: Checkpoint, small_bert_gguf: GgufFile
) -> None:
    ids = json.loads(small_bert.tokenizer_json)["model"]["vocab"]
    tokens = small_bert_gguf.value("tokenizer.ggml.tokens")
    inside = next(token for token in ids if token.startswith("##"))
    assert len(tokens) == 1520
    assert tokens[ids["[CLS]"]] == "[CLS]"
    assert tokens[ids["a"]] == "\u2581a"
    assert tokens[ids[inside]] == inside.removeprefix("##")


def test_special_ids_are_the_tokenizers(small_bert: Checkpoint, small_bert_gguf: GgufFile) -> None:
    ids = json.loads(small_bert.tokenizer_json)["model"]["vocab"]
    roles = {"bos": "[CLS]", "seperator": "[SEP]", "padding": "[PAD]", "unknown": "[UNK]"}
    assert {role: small_bert_gguf.value(f"tokenizer.ggml.{role}_token_id") for role in roles} == {
        role: ids[token] for role, token in roles.items()
    }


def test_a_tensor_without_a_place_is_refused(bert_directory: Path) -> None:
    path = bert_directory / "model.safetensors"
    tensors = safetensors.numpy.load_file(path)
    extra = {"encoder.layer.0.adapter.weight": np.zeros(3, dtype=np.float32)}
    safetensors.numpy.save_file(tensors | extra, path)
    with pytest.raises(ExportError, match=r"encoder\.layer\.0\.adapter\.weight"):
        _write(bert_directory)


def test_a_missing_tensor_is_named(bert_directory: Path) -> None:
    path = bert_directory / "model.safetensors"
    tensors = safetensors.numpy.load_file(path)
    name = next(name for name in tensors if name.endswith("layer.1.output.dense.bias"))
    del tensors[name]
    safetensors.numpy.save_file(tensors, path)
    with pytest.raises(ExportError, match=name):
        _write(bert_directory)


@pytest.mark.parametrize(
    "change", [{"hidden_act": "relu"}, {"position_embedding_type": "relative_key"}]
)
def test_a_configuration_that_llama_cpp_computes_otherwise_is_refused(
    bert_directory: Path, change: dict[str, str]
) -> None:
    _configure(bert_directory, change)
    with pytest.raises(ExportError, match=next(iter(change))):
        _write(bert_directory)


def test_an_unknown_model_type_names_the_known_ones(bert_directory: Path) -> None:
    _configure(bert_directory, {"model_type": "modernbert"})
    with pytest.raises(UnsupportedArchitectureError, match=r"'modernbert'.*bert"):
        _write(bert_directory)


def _configure(directory: Path, change: dict[str, str]) -> None:
    path = directory / "config.json"
    path.write_text(json.dumps(json.loads(path.read_bytes()) | change))


def _write(directory: Path) -> None:
    path = directory / "model.gguf"
    write_gguf(Checkpoint.open(directory), path, name="small", pooling=Pooling.CLS)
