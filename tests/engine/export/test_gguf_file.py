from __future__ import annotations

from pathlib import Path

import pytest

from engine.errors import ExportError
from engine.export.gguf_file import GgufFile
from tests.engine.export.small_models import Tensors, change_gguf


@pytest.mark.parametrize("length", [0, 3, 24, 2000, 100_000, -1])
def test_a_file_that_is_cut_short_is_one_export_error(
    small_bert_gguf: GgufFile, tmp_path: Path, length: int
) -> None:
    path = tmp_path / "cut.gguf"
    path.write_bytes(small_bert_gguf.path.read_bytes()[:length])
    with pytest.raises(ExportError, match=r"cut\.gguf"):
        GgufFile(path)


def test_a_file_of_another_kind_is_one_export_error(tmp_path: Path) -> None:
    path = tmp_path / "other.gguf"
    path.write_bytes(b"PK\x03\x04" * 1000)
    with pytest.raises(ExportError, match="not a GGUF file"):
        GgufFile(path)


def test_a_missing_file_is_one_export_error(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"none\.gguf"):
        GgufFile(tmp_path / "none.gguf")


def test_a_missing_tensor_is_named(small_bert_gguf: GgufFile) -> None:
    with pytest.raises(ExportError, match=r"blk\.9\.attn_q\.weight"):
        small_bert_gguf.tensor("blk.9.attn_q.weight")


def test_a_missing_key_is_named(small_bert_gguf: GgufFile) -> None:
    with pytest.raises(ExportError, match=r"bert\.rope"):
        small_bert_gguf.hyperparameter("rope")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_not_finite_are_named(
    small_bert_gguf: GgufFile, tmp_path: Path, value: float
) -> None:
    def damage(arrays: Tensors) -> None:
        arrays["blk.1.ffn_up.weight"][3, 4] = value

    file = change_gguf(small_bert_gguf, tmp_path / "damaged.gguf", tensors=damage)
    with pytest.raises(ExportError, match=r"'blk\.1\.ffn_up\.weight' has numbers"):
        file.tensor("blk.1.ffn_up.weight")


@pytest.mark.parametrize("value", [0, 1 << 21, -1, 2.5, "256", True, [256]])
def test_a_context_that_can_not_be_is_named(
    small_bert_gguf: GgufFile, tmp_path: Path, value: object
) -> None:
    file = change_gguf(small_bert_gguf, tmp_path / "d.gguf", values={"context_length": value})
    with pytest.raises(ExportError, match=r"bert\.context_length=.*; it must be a whole number"):
        _ = file.context_length


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf"), "1e-12", True])
def test_an_epsilon_that_can_not_be_is_named(
    small_bert_gguf: GgufFile, tmp_path: Path, value: object
) -> None:
    key = "attention.layer_norm_epsilon"
    file = change_gguf(small_bert_gguf, tmp_path / "damaged.gguf", values={key: value})
    with pytest.raises(ExportError, match=rf"bert\.{key}=.*; it must be a number above 0"):
        file.real(key)
