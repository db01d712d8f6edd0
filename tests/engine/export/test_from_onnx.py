from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from engine.errors import ExportError
from engine.export.from_onnx import _read


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
