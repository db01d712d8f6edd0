from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from engine.errors import ExportError
from engine.export.checkpoint import Checkpoint
from engine.export.weights import CheckpointWeights, weights_sha256
from engine.types import Pooling


def _edit(path: Path, **changes: object) -> None:
    document = json.loads(path.read_bytes()) if path.exists() else {}
    path.write_text(json.dumps(document | changes))


def test_reads_what_the_files_state(small_bert: Checkpoint) -> None:
    assert (small_bert.model_type, small_bert.pooling, small_bert.normalize) == (
        "bert",
        Pooling.CLS,
        True,
    )
    assert (small_bert.max_input_tokens, small_bert.prompts) == (256, {})
    assert [path.name for path in small_bert.weights] == ["model.safetensors"]


def test_the_tokenizer_loses_truncation_and_padding(bert_directory: Path) -> None:
    _edit(bert_directory / "tokenizer.json", truncation={"max_length": 128}, padding={"pad_id": 0})
    document = json.loads(Checkpoint.open(bert_directory).tokenizer_json)
    assert (document["truncation"], document["padding"]) == (None, None)
    assert document["model"]["type"] == "WordPiece"


def test_without_modules_no_pooling_is_stated(bert_directory: Path) -> None:
    (bert_directory / "modules.json").unlink()
    checkpoint = Checkpoint.open(bert_directory)
    assert (checkpoint.pooling, checkpoint.normalize) == (None, False)
    assert "sentence_bert_config.json is not read, as sentence-transformers" in checkpoint.notes[0]


@pytest.mark.parametrize(
    ("config", "pooling"),
    [
        ({"pooling_mode": "lasttoken"}, Pooling.LAST_TOKEN),
        ({"pooling_mode": "cls"}, Pooling.CLS),
        ({"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}, Pooling.MEAN),
    ],
)
def test_both_ways_to_state_pooling(
    bert_directory: Path, config: dict[str, object], pooling: Pooling
) -> None:
    (bert_directory / "1_Pooling" / "config.json").write_text(json.dumps(config))
    assert Checkpoint.open(bert_directory).pooling is pooling


@pytest.mark.parametrize(
    ("config", "word"),
    [
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True}, "cls_token"),
        ({"pooling_mode_max_tokens": True}, "max_tokens"),
        ({}, "none"),
        ({"pooling_mode": "mean", "include_prompt": False}, "include_prompt"),
    ],
)
def test_pooling_that_can_not_be_honoured_is_refused(
    bert_directory: Path, config: dict[str, object], word: str
) -> None:
    (bert_directory / "1_Pooling" / "config.json").write_text(json.dumps(config))
    with pytest.raises(ExportError, match=word):
        Checkpoint.open(bert_directory)


def test_a_module_that_can_not_be_exported_is_refused(bert_directory: Path) -> None:
    row = {"idx": 3, "name": "3", "path": "3_Dense", "type": "sentence_transformers.models.Dense"}
    path = bert_directory / "modules.json"
    path.write_text(json.dumps([*json.loads(path.read_bytes()), row]))
    with pytest.raises(ExportError, match="Dense"):
        Checkpoint.open(bert_directory)


def test_prompts_and_the_default_prompt(bert_directory: Path) -> None:
    _edit(
        bert_directory / "config_sentence_transformers.json",
        prompts={"query": "query: ", "document": ""},
        default_prompt_name="query",
    )
    checkpoint = Checkpoint.open(bert_directory)
    prompts = {"query": "query: ", "document": ""}
    assert (checkpoint.prompts, checkpoint.default_prompt_name) == (prompts, "query")


def test_a_default_prompt_without_text_is_none(bert_directory: Path) -> None:
    _edit(
        bert_directory / "config_sentence_transformers.json",
        prompts={"document": ""},
        default_prompt_name="document",
    )
    assert Checkpoint.open(bert_directory).default_prompt_name is None


def test_stated_matryoshka_dimensions_largest_first(bert_directory: Path) -> None:
    _edit(bert_directory / "config.json", matryoshka_dimensions=[16, 64, 32])
    assert Checkpoint.open(bert_directory).matryoshka_dimensions == (64, 32, 16)


@pytest.mark.parametrize(
    ("stated", "tokenizer", "positions", "expected"),
    [(128, 512, 256, 128), (None, 512, 256, 256), (None, 64, 256, 64), (None, 10**30, 256, 256)],
)
def test_the_token_limit(
    bert_directory: Path, stated: int | None, tokenizer: int, positions: int, expected: int
) -> None:
    _edit(bert_directory / "sentence_bert_config.json", max_seq_length=stated)
    _edit(bert_directory / "tokenizer_config.json", model_max_length=tokenizer)
    _edit(bert_directory / "config.json", max_position_embeddings=positions)
    assert Checkpoint.open(bert_directory).max_input_tokens == expected


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_missing_file_is_named(bert_directory: Path, name: str) -> None:
    (bert_directory / name).unlink()
    with pytest.raises(ExportError, match=name):
        Checkpoint.open(bert_directory)


def test_broken_json_is_named(bert_directory: Path) -> None:
    (bert_directory / "config.json").write_text("{")
    with pytest.raises(ExportError, match=r"config\.json is not valid JSON"):
        Checkpoint.open(bert_directory)


def test_weights_in_parts_are_read_like_one_file(bert_directory: Path) -> None:
    single = bert_directory / "model.safetensors"
    tensors = safetensors.numpy.load_file(single)
    names = sorted(tensors)
    parts = {"a.safetensors": names[:5], "b.safetensors": names[5:]}
    for part, members in parts.items():
        safetensors.numpy.save_file({k: tensors[k] for k in members}, bert_directory / part)
    single.unlink()
    weight_map = {name: part for part, members in parts.items() for name in members}
    _edit(bert_directory / "model.safetensors.index.json", weight_map=weight_map)

    checkpoint = Checkpoint.open(bert_directory)

    weights = CheckpointWeights(checkpoint.weights)
    assert weights.names == frozenset(names)
    assert all(
        np.array_equal(weights.read(name), tensors[name])
        for name in names
        if tensors[name].dtype == np.float32
    )
    assert len(weights_sha256(checkpoint.weights)) == 64


def test_a_missing_part_is_named(bert_directory: Path) -> None:
    (bert_directory / "model.safetensors").unlink()
    _edit(bert_directory / "model.safetensors.index.json", weight_map={"x": "part-1.safetensors"})
    with pytest.raises(ExportError, match=r"part-1\.safetensors"):
        Checkpoint.open(bert_directory)


def test_damaged_weights_are_an_export_error(bert_directory: Path) -> None:
    path = bert_directory / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ExportError, match="damaged"):
        CheckpointWeights([path])


def test_weights_that_can_not_be_opened_are_not_called_damaged(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").mkdir()
    with pytest.raises(ExportError, match=r"model\.safetensors can't be read: it is not a regular"):
        CheckpointWeights([tmp_path / "model.safetensors"])
    with pytest.raises(ExportError, match=r"none can't be read: No such file or directory\."):
        CheckpointWeights([tmp_path / "none"])


def test_bfloat16_is_read_exactly(tmp_path: Path) -> None:
    bits = np.array([0x3F80, 0xC049, 0x0001], dtype="<u2")
    header = json.dumps({"w": {"dtype": "BF16", "shape": [3], "data_offsets": [0, 6]}}).encode()
    path = tmp_path / "w.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bits.tobytes())
    expected = (bits.astype(np.uint32) << 16).view(np.float32)
    assert CheckpointWeights([path]).read("w").tolist() == expected.tolist()


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"model_type": "roberta", "pad_token_id": 1, "max_position_embeddings": 258}, 256),
        ({"model_type": "bert", "pad_token_id": 1, "max_position_embeddings": 258}, 258),
        ({"max_position_embeddings": None, "n_positions": 8192, "max_trained_positions": 300}, 300),
    ],
)
def test_positions_that_no_token_can_have_do_not_count(
    bert_directory: Path, config: dict[str, object], expected: int
) -> None:
    _edit(bert_directory / "sentence_bert_config.json", max_seq_length=512)
    _edit(bert_directory / "config.json", **config)
    assert Checkpoint.open(bert_directory).max_input_tokens == expected


def test_bert_with_alibi_is_jinas(bert_directory: Path) -> None:
    _edit(bert_directory / "config.json", position_embedding_type="alibi")
    assert Checkpoint.open(bert_directory).model_type == "jina_bert_v2"


@pytest.mark.parametrize("kind", ["F8_E4M3", "F8_E5M2", "F8_E8M0", "I8", "BOOL"])
def test_a_type_that_is_no_float_of_16_or_32_bits_is_named(tmp_path: Path, kind: str) -> None:
    """For some of them the library raises an AttributeError of numpy's."""
    header = json.dumps({"a": {"dtype": kind, "shape": [4], "data_offsets": [0, 4]}}).encode()
    path = tmp_path / "model.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + b"\0" * 4)
    with pytest.raises(ExportError, match=f"'a' has the type {kind}, not a float of 16 or 32"):
        CheckpointWeights([path]).read("a")
