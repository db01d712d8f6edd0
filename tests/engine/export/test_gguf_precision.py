from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest

from engine.errors import ExportError
from engine.export.gguf_file import GgufFile
from engine.export.gguf_precision import write_at_precision

MATRIX = "blk.1.ffn_up.weight"


def _at(source: GgufFile, directory: Path, precision: str) -> GgufFile:
    path = directory / f"{precision}.gguf"
    write_at_precision(source, path, precision)
    return GgufFile(path)


@pytest.mark.parametrize("precision", ["f32", "f16", "q8_0"])
def test_a_file_is_named_after_most_of_its_weights(
    small_bert_gguf: GgufFile, tmp_path: Path, precision: str
) -> None:
    assert _at(small_bert_gguf, tmp_path, precision).precision == precision


def test_metadata_stays_but_for_the_type_of_the_file(
    small_bert_gguf: GgufFile, tmp_path: Path
) -> None:
    expected = {row.key: row for row in small_bert_gguf.metadata()}
    found = {row.key: row for row in _at(small_bert_gguf, tmp_path, "q8_0").metadata()}
    assert found.pop("general.file_type").value == gguf.LlamaFileType.MOSTLY_Q8_0
    del expected["general.file_type"]
    assert found == expected


def test_halves_are_the_nearest_ones(small_bert_gguf: GgufFile, tmp_path: Path) -> None:
    values = small_bert_gguf.tensor(MATRIX)
    assert np.array_equal(
        values.astype(np.float16), _at(small_bert_gguf, tmp_path, "f16").stored(MATRIX)
    )


def test_blocks_are_those_of_llama_cpps_quantiser(
    small_bert_gguf: GgufFile, tmp_path: Path
) -> None:
    """Largest magnitude / 127 is the scale of 32 weights, kept as float16."""
    blocks = small_bert_gguf.tensor(MATRIX).reshape(-1, 32)
    scales = np.abs(blocks).max(axis=1, keepdims=True) / np.float32(127)
    quants = np.rint(blocks / scales)
    expected = (quants * scales.astype(np.float16)).astype(np.float32)
    found = _at(small_bert_gguf, tmp_path, "q8_0").tensor(MATRIX)
    assert np.abs(expected - found.reshape(-1, 32)).max() <= 1e-6 + scales.max() * 1e-3


@pytest.mark.parametrize("name", ["position_embd.weight", "token_types.weight"])
def test_positions_and_vectors_stay_float32(
    small_bert_gguf: GgufFile, tmp_path: Path, name: str
) -> None:
    quantised = _at(small_bert_gguf, tmp_path, "q8_0")
    for kept in (name, "blk.0.attn_q.bias", "token_embd_norm.weight"):
        assert quantised.type_of(kept) is gguf.GGMLQuantizationType.F32
        assert np.array_equal(small_bert_gguf.tensor(kept), quantised.tensor(kept))


def test_quantised_weights_go_to_float32_exactly(small_bert_gguf: GgufFile, tmp_path: Path) -> None:
    quantised = _at(small_bert_gguf, tmp_path, "q8_0")
    exact = _at(quantised, tmp_path, "f32")
    for name in quantised.names:
        assert np.array_equal(quantised.tensor(name), exact.tensor(name))


@pytest.mark.parametrize("precision", ["f16", "q8_0"])
def test_quantised_weights_are_never_rounded_again(
    small_bert_gguf: GgufFile, tmp_path: Path, precision: str
) -> None:
    (tmp_path / "source").mkdir()
    quantised = _at(small_bert_gguf, tmp_path / "source", "q8_0")
    with pytest.raises(ExportError, match="would change its weights"):
        write_at_precision(quantised, tmp_path / "again.gguf", precision)


def test_an_unknown_precision_names_the_known_ones(
    small_bert_gguf: GgufFile, tmp_path: Path
) -> None:
    with pytest.raises(ExportError, match=r"'q2_k'.*f32, f16, q8_0"):
        write_at_precision(small_bert_gguf, tmp_path / "x.gguf", "q2_k")


def test_values_beyond_float16_are_refused(small_bert_gguf: GgufFile, tmp_path: Path) -> None:
    large = _Large(small_bert_gguf.path)
    with pytest.raises(ExportError, match="beyond 65504"):
        write_at_precision(large, tmp_path / "x.gguf", "f16")


class _Large(GgufFile):
    def tensor(self, name: str) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        return super().tensor(name) * np.float32(1e9)
