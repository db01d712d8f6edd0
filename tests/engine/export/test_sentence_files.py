"""Files of sentence-transformers that are not what they should be, each named in one line.

What they say, beside what sentence-transformers makes of it, is in tests/parity.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.errors import ExportError
from engine.export.checkpoint import Checkpoint
from engine.export.from_onnx import source_of_onnx
from engine.export.options import Facts
from engine.types import Pooling

_SENTENCE, _MODEL = "sentence_bert_config.json", "config_sentence_transformers.json"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("modules.json", {}, "modules.json"),
        ("modules.json", [{"path": ""}], "modules.json"),
        ("modules.json", ["x"], "modules.json"),
        ("modules.json", [], "none"),
        ("1_Pooling/config.json", [], "list"),
        ("1_Pooling/config.json", {"pooling_mode": 3}, "the pooling 3"),
        (_SENTENCE, [1], "list"),
        (_SENTENCE, {"max_seq_length": "many"}, "'many'"),
        (_SENTENCE, {"tokenizer_args": 3}, "processor_kwargs=3"),
        (_SENTENCE, {"model_args": {"quantization_config": {}}}, "quantization_config"),
        (_SENTENCE, {"tokenizer_args": {"vocab_file": "x"}}, "vocab_file"),
        (_MODEL, {"prompts": ["a"]}, "prompts"),
        (_MODEL, {"prompts": {"query": 3}}, "'query'=3"),
        (_MODEL, {"prompts": {"a": "b"}, "default_prompt_name": 3}, "default_prompt_name=3"),
        (_MODEL, {"truncate_dim": "8"}, "truncate_dim='8'"),
        (_MODEL, {"truncate_dim": 0}, "truncate_dim=0"),
        (_MODEL, {"similarity_fn_name": ["dot"]}, "similarity_fn_name"),
        ("tokenizer_config.json", {"added_tokens_decoder": {"x": 1}}, "added_tokens_decoder"),
        ("tokenizer_config.json", {"model_max_length": "long"}, "'long'"),
        ("tokenizer_config.json", {"auto_map": ["a", "b"]}, "auto_map"),
        ("tokenizer.json", {"model": {}}, "tokenizer.json"),
        ("tokenizer.json", [], "tokenizer.json"),
        ("config.json", [], "list"),
        ("config.json", {"auto_map": 3}, "auto_map=3"),
        ("config.json", {"max_position_embeddings": [8]}, "max_position_embeddings=[8]"),
        ("config.json", {"max_position_embeddings": float("nan")}, "max_position_embeddings=nan"),
        ("config.json", {"max_position_embeddings": 8, "matryoshka_dims": 8}, "matryoshka_dims=8"),
        (
            "config.json",
            {"model_type": "roberta", "max_position_embeddings": 8, "pad_token_id": "x"},
            "pad_token_id='x'",
        ),
        (_MODEL, {"default_prompt_name": ["query"]}, "default_prompt_name=['query']"),
        (_MODEL, {"matryoshka_dimensions": ["a"]}, "matryoshka_dimensions=['a']"),
        ("model.safetensors.index.json", {"weight_map": 3}, "weight_map=3"),
        ("2_Normalize/config.json", {"module_output_name": "x"}, "module_output_name='x'"),
        *(
            ("model.safetensors.index.json", {"weight_map": {"x": path}}, f"{path!r}, which is not")
            for path in ("../x", "a/../../x", "/x", "C:\\x", "..\\x", "x\0", "\ud800", 3)
        ),
    ],
)
def test_what_can_not_be_read_is_named(
    name: str, content: object, words: str, bert_directory: Path
) -> None:
    (bert_directory / name).parent.mkdir(exist_ok=True)
    (bert_directory / name).write_text(json.dumps(content))
    if name == "model.safetensors.index.json":
        (bert_directory / "model.safetensors").unlink()
    with pytest.raises(ExportError) as caught:
        Checkpoint.open(bert_directory)
    assert words in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("path", ["../1_Pooling", "/1_Pooling", "1_\0", "\ud800", None, 3])
def test_a_module_outside_the_checkpoint_is_refused(path: object, bert_directory: Path) -> None:
    _change_modules(bert_directory, 1, path=path)
    with pytest.raises(ExportError, match="which is not a path within") as caught:
        Checkpoint.open(bert_directory)
    assert caught.value.message.isprintable()


@pytest.mark.parametrize(
    "stated",
    [
        "sentence_transformersX.models.Pooling",
        "sentence_transformers.Pooling",
        "sentence_transformers.sparse_encoder.modules.Pooling",
        "sentence_transformers.multi_vector_encoder.modules.token_pooling.Pooling",
        "sentence_transformers.models.pooling\0.Pooling",
    ],
)
def test_a_module_whose_type_only_looks_known_is_refused(stated: str, bert_directory: Path) -> None:
    _change_modules(bert_directory, 1, type=stated)
    with pytest.raises(ExportError, match=r"modules\.json has") as caught:
        Checkpoint.open(bert_directory)
    assert caught.value.message.isprintable()


@pytest.mark.parametrize(
    "stated",
    [
        "sentence_transformers.models.Pooling",
        "sentence_transformers.models.Pooling.Pooling",
        "sentence_transformers.sentence_transformer.modules.Pooling",
        "sentence_transformers.sentence_transformer.modules.pooling.Pooling",
    ],
)
def test_a_module_is_known_by_its_old_and_its_new_place(stated: str, bert_directory: Path) -> None:
    expected = Checkpoint.open(bert_directory).pooling
    _change_modules(
        bert_directory, 0, type="sentence_transformers.base.modules.transformer.Transformer"
    )
    _change_modules(bert_directory, 1, type=stated)
    assert Checkpoint.open(bert_directory).pooling is expected


def _change_modules(directory: Path, index: int, **changes: object) -> None:
    path = directory / "modules.json"
    rows = json.loads(path.read_bytes())
    rows[index] |= changes
    path.write_text(json.dumps(rows))


@pytest.mark.parametrize(
    ("stated", "expected"),
    [({"document": None}, ""), ({"document": ""}, ""), ({"document": "d: "}, "d: ")],
)
def test_a_prompt_may_be_empty(
    stated: dict[str, str | None], expected: str, bert_directory: Path
) -> None:
    (bert_directory / _MODEL).write_text(json.dumps({"prompts": stated}))
    assert Checkpoint.open(bert_directory).prompts == {"document": expected}


def test_what_was_changed_is_told(bert_directory: Path) -> None:
    path = bert_directory / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_bytes()) | {"do_lower_case": False}))
    (note,) = Checkpoint.open(bert_directory).notes
    assert "normalizer" in note
    assert "tokenizer_config.json" in note


def test_a_ready_onnx_file_does_not_follow_arguments(bert_directory: Path) -> None:
    path = bert_directory / _SENTENCE
    path.write_text(json.dumps({"config_args": {"layer_norm_eps": 0.1}}))
    facts = Facts(name="small", pooling=Pooling.CLS, normalize=True, max_input_tokens=8)
    with pytest.raises(ExportError, match="layer_norm_eps"):
        source_of_onnx(bert_directory, Checkpoint.open(bert_directory), facts)
