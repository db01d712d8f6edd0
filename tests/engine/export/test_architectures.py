from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine.backends.onnx import OnnxBackend
from engine.backends.rows import share_rows
from engine.errors import ExportError, UnsupportedArchitectureError
from engine.export import architectures
from engine.export.architectures.checks import number, real
from engine.export.checkpoint import Checkpoint
from engine.export.onnx_writer import write_onnx
from engine.export.reference.encoders import ENCODERS
from engine.types import Batch, Encoding
from tests.engine.export.small_models import (
    CHECKPOINTS,
    SMALL,
    Tensors,
    change_gguf,
    copy_checkpoint,
    to_gguf,
)


def test_every_row_of_the_table_is_found_by_its_names() -> None:
    for row in architectures._ALL:
        assert architectures.architecture_of_gguf(row.name).name == row.name
        assert architectures.architecture_of_checkpoint(row.checkpoint_type) is row


def test_every_row_of_the_table_has_a_small_checkpoint() -> None:
    """So that tests/parity/test_architectures.py compares each with torch."""
    found = {Checkpoint.open(CHECKPOINTS / name).model_type for name in SMALL}
    assert found == {row.checkpoint_type for row in architectures._ALL}


def test_every_architecture_has_a_reference() -> None:
    assert set(ENCODERS) == set(architectures.gguf_names())


@pytest.mark.parametrize("name", ["llama", "", "BERT", "nomic-bert-moe", "jina-bert-v3"])
def test_an_unknown_architecture_names_the_known_ones(name: str) -> None:
    with pytest.raises(UnsupportedArchitectureError, match=r"Supported: .*bert"):
        architectures.architecture_of_gguf(name)


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("bert", {"hidden_act": "gelu_new"}),
        ("bert", {"is_decoder": True}),
        ("bert", {"num_attention_heads": None}),
        ("bert", {"layer_norm_eps": None}),
        ("roberta", {"position_embedding_type": "relative_key"}),
        ("roberta", {"pad_token_id": None}),
        ("xlm-roberta", {"hidden_act": "relu"}),
        ("nomic-bert", {"activation_function": "gelu"}),
        ("nomic-bert", {"activation_function": None}),
        ("nomic-bert", {"rotary_emb_fraction": 0.5}),
        ("nomic-bert", {"rotary_emb_fraction": None}),
        ("nomic-bert", {"rotary_emb_interleaved": True}),
        ("nomic-bert", {"rotary_emb_scale_base": 512}),
        ("nomic-bert", {"rotary_emb_base": None}),
        ("nomic-bert", {"moe_every_n_layers": 2}),
        ("nomic-bert", {"num_experts": 8}),
        ("nomic-bert", {"prenorm": True}),
        ("nomic-bert", {"use_rms_norm": True}),
        ("nomic-bert", {"qkv_proj_bias": True}),
        ("nomic-bert", {"causal": True}),
        ("nomic-bert", {"scale_attn_weights": False}),
        ("nomic-bert", {"rotary_scaling_factor": 2, "max_trained_positions": None}),
        ("jina-bert-v2", {"feed_forward_type": "reglu"}),
        ("jina-bert-v2", {"feed_forward_type": None}),
        ("jina-bert-v2", {"hidden_act": "relu"}),
    ],
)
def test_what_would_be_computed_otherwise_is_refused(
    name: str, config: dict[str, object], tmp_path: Path
) -> None:
    checkpoint = copy_checkpoint(name, tmp_path / "checkpoint", config=config)
    with pytest.raises(ExportError, match=next(iter(config))):
        to_gguf(checkpoint, tmp_path / "model.gguf")


@pytest.mark.parametrize("name", SMALL)
def test_a_missing_tensor_is_named(name: str, tmp_path: Path) -> None:
    ends = ("output.dense.weight", "mlp.fc12.weight", "mlp.gated_layers.weight")
    names: list[str] = []
    checkpoint = copy_checkpoint(
        name,
        tmp_path / "checkpoint",
        weights=lambda arrays: names.extend(
            key for key in list(arrays) if key.endswith(ends) and arrays.pop(key) is not None
        ),
    )
    with pytest.raises(ExportError, match=r"has no tensor") as caught:
        to_gguf(checkpoint, tmp_path / "model.gguf")
    assert min(names) in caught.value.message


@pytest.mark.parametrize("name", SMALL)
def test_a_tensor_without_a_place_is_named(name: str, tmp_path: Path) -> None:
    extra = "encoder.layer.0.attention.self.layer_norm_q.weight"
    checkpoint = copy_checkpoint(
        name,
        tmp_path / "checkpoint",
        weights=lambda arrays: arrays.update({extra: np.ones(4, np.float32)}),
    )
    with pytest.raises(ExportError, match=f"{extra}.*has no place"):
        to_gguf(checkpoint, tmp_path / "model.gguf")


WRONG_SHAPES = {
    "bert": ["blk.0.attn_q.weight", "blk.1.ffn_up.bias", "blk.2.ffn_down.weight"],
    "roberta": ["token_types.weight", "blk.0.attn_output.bias", "token_embd_norm.weight"],
    "xlm-roberta": ["position_embd.weight", "blk.0.layer_output_norm.bias"],
    "nomic-bert": ["blk.0.attn_qkv.weight", "blk.1.ffn_gate.weight"],
    "jina-bert-v2": ["blk.0.ffn_up.weight", "blk.0.attn_output_norm.weight"],
}


@pytest.mark.parametrize("name", SMALL)
def test_a_tensor_of_another_shape_is_named(name: str, tmp_path: Path) -> None:
    source = to_gguf(CHECKPOINTS / name, tmp_path / "model.gguf")
    architecture = architectures.architecture_of_gguf(source.architecture)
    architecture.check(source)
    for tensor in WRONG_SHAPES[name]:

        def widen(arrays: Tensors, tensor: str = tensor) -> None:
            arrays[tensor] = np.concatenate([arrays[tensor], arrays[tensor][..., :2]], axis=-1)

        changed = change_gguf(source, tmp_path / "changed.gguf", tensors=widen)
        with pytest.raises(ExportError, match=f"'{tensor}' has the shape"):
            architecture.check(changed)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("attention.head_count", 0, "head_count=0; it must be a whole number"),
        ("attention.head_count", 5, "5 heads"),
        ("block_count", "3", "block_count='3'; it must be a whole number"),
        ("block_count", 2, "has no place in bert with 2 blocks"),
        ("embedding_length", [64], "embedding_length=a list of 1"),
        ("feed_forward_length", 1 << 30, "but the file's numbers ask for"),
        ("attention.causal", True, "attention.causal=True; only False works"),
    ],
)
def test_a_number_that_contradicts_the_tensors_is_named(
    key: str, value: object, message: str, tmp_path: Path
) -> None:
    source = to_gguf(CHECKPOINTS / "bert", tmp_path / "model.gguf")
    changed = change_gguf(source, tmp_path / "changed.gguf", values={key: value})
    with pytest.raises(ExportError, match=message):
        architectures.architecture_of_gguf("bert").check(changed)


@pytest.mark.parametrize(("name", "prefix"), [("roberta", "roberta."), ("bert", "bert.")])
def test_names_of_a_checkpoint_with_a_head_are_read_alike(
    name: str, prefix: str, tmp_path: Path
) -> None:
    checkpoint = copy_checkpoint(
        name,
        tmp_path / "checkpoint",
        weights=lambda arrays: [
            arrays.update({prefix + key: arrays.pop(key)}) for key in list(arrays)
        ],
    )
    prefixed = to_gguf(checkpoint, tmp_path / "prefixed.gguf")
    plain = to_gguf(CHECKPOINTS / name, tmp_path / "plain.gguf")
    assert prefixed.names == plain.names
    for tensor in plain.names:
        assert np.array_equal(prefixed.tensor(tensor), plain.tensor(tensor))


@pytest.mark.parametrize("name", ["roberta", "xlm-roberta"])
def test_positions_before_the_first_token_are_dropped(name: str, tmp_path: Path) -> None:
    found = to_gguf(CHECKPOINTS / name, tmp_path / "model.gguf")
    assert found.architecture == "bert"
    assert found.hyperparameter("context_length") == 256
    assert found.tensor("position_embd.weight").shape == (256, 64)


def test_a_nomic_model_has_the_context_that_it_was_trained_on(tmp_path: Path) -> None:
    found = to_gguf(CHECKPOINTS / "nomic-bert", tmp_path / "model.gguf")
    assert found.hyperparameter("context_length") == 2048
    assert found.hyperparameter("rope.freq_base") == 1000.0


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("num_hidden_layers", 10**9),
        ("num_hidden_layers", -1),
        ("layer_norm_eps", 1e300),
        ("vocab_size", 10**9),
        ("vocab_size", "1520"),
    ],
)
def test_a_number_that_no_file_can_hold_is_named(key: str, value: object, tmp_path: Path) -> None:
    checkpoint = copy_checkpoint("bert", tmp_path / "checkpoint", config={key: value})
    with pytest.raises(ExportError, match=f"config.json has {key}="):
        to_gguf(checkpoint, tmp_path / "model.gguf")


@pytest.mark.parametrize("value", [None, "12", True, [1], float("nan"), float("inf"), -(10**400)])
def test_a_number_must_be_one(value: object) -> None:
    for reader in (number, real):
        with pytest.raises(ExportError, match="hidden_size"):
            reader({"hidden_size": value}, "hidden_size")


@pytest.mark.parametrize("name", SMALL)
def test_sequences_in_one_row_do_not_see_each_other(name: str, tmp_path: Path) -> None:
    """Each has the vectors that it has alone, wherever it stands in the row."""
    source = to_gguf(CHECKPOINTS / name, tmp_path / "model.gguf")
    write_onnx(source, tmp_path / "model.onnx")
    backend = OnnxBackend(tmp_path / "model.onnx", precision="fp32", threads=1)
    lengths = (3, 11, 7, 2)
    assert share_rows(lengths, widest=256).number < len(lengths)
    random = np.random.default_rng(0)
    size = len(source.tensor("token_embd.weight"))
    encodings = [
        Encoding(random.integers(0, size, length, dtype=np.int32), truncated=False)
        for length in lengths
    ]
    together = backend.run(Batch(tuple(encodings))).token_vectors
    assert together is not None
    for encoding, vectors in zip(encodings, together, strict=True):
        alone = backend.run(Batch((encoding,))).token_vectors
        assert alone is not None
        np.testing.assert_allclose(vectors, alone[0], atol=5e-6)
    backend.close()
