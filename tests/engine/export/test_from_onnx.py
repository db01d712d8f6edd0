from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from engine.errors import ExportError
from engine.export.from_onnx import _read
from engine.export.model_source import Opening
from engine.export.options import ExportOptions
from engine.export.source_kinds import open_source
from tests.engine.export.small_models import copy_checkpoint


def _graph(path: Path, location: str) -> Path:
    weight = TensorProto(
        name="w", data_type=TensorProto.FLOAT, dims=[2], data_location=TensorProto.EXTERNAL
    )
    weight.external_data.add(key="location", value=location)
    graph = helper.make_graph([], "g", [], [], [weight])
    onnx.save(helper.make_model(graph), path)
    return path


def test_weights_in_a_file_beside_the_graph_are_found(tmp_path: Path) -> None:
    (tmp_path / "model.onnx_data").write_bytes(b"12345678")
    file = _read(_graph(tmp_path / "model.onnx", "model.onnx_data"))
    assert (file.data, file.precision) == (tmp_path / "model.onnx_data", "fp32")


@pytest.mark.parametrize("location", ["", ".", "..", "/etc/passwd", "a/b", "a\x00b"])
def test_a_place_that_is_no_plain_name_is_refused(tmp_path: Path, location: str) -> None:
    with pytest.raises(ExportError, match="has its weights in the files"):
        _read(_graph(tmp_path / "model.onnx", location))


def test_a_tokenizer_class_that_is_not_known_is_refused_by_name(tmp_path: Path) -> None:
    checkpoint = copy_checkpoint("bert", tmp_path / "a", tokenizer_class="HerbertTokenizerFast")
    (checkpoint / "model.safetensors").unlink()
    _graph(checkpoint / "model.onnx", "model.onnx_data")
    with pytest.raises(ExportError, match="tokenizer_class HerbertTokenizer is not known here"):
        open_source(Opening(checkpoint, tmp_path, ExportOptions(), lambda _: None))
