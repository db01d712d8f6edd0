from __future__ import annotations

from pathlib import Path

import pytest

from engine.errors import ExportError
from engine.export.gguf_file import GgufFile


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
