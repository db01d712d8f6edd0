"""Weights outside of an ONNX file: found wherever a file may name them, and loaded if listed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from engine import Engine
from engine.errors import BundleError, IntegrityError
from engine.model import BundleFile, FileRole, sha256_of
from engine.onnx_external import external_files
from tests.engine.bundles import TABLE, write_bundle, write_graph, write_manifest


def _external(location: str, name: str = "table") -> TensorProto:
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=TABLE.shape)
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"offset": "0", "location": location}.items():
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    return tensor


def _graph(name: str, constant: TensorProto) -> onnx.GraphProto:
    return helper.make_graph(
        [helper.make_node("Constant", [], ["c"], value=constant)], name, [], []
    )


def _everywhere() -> onnx.ModelProto:
    """A model that names a file in each place where the format allows a tensor."""
    graph = _graph("main", _external("in constant"))
    graph.initializer.append(_external("in initializer"))
    sparse = graph.sparse_initializer.add()
    sparse.values.CopyFrom(_external("in sparse values"))
    sparse.indices.CopyFrom(_external("in sparse indices"))
    branch = helper.make_node("If", ["x"], ["y"], then_branch=_graph("b", _external("in branch")))
    branch.attribute.append(helper.make_attribute("many", [_external("in tensors")]))
    branch.attribute.append(helper.make_attribute("graphs", [_graph("g", _external("in graphs"))]))
    graph.node.append(branch)
    model = helper.make_model(graph)
    function = model.functions.add()
    function.node.append(helper.make_node("Constant", [], ["c"], value=_external("in function")))
    model.training_info.add().initialization.CopyFrom(_graph("t", _external("in training")))
    return model


def test_every_place_of_the_format_is_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(_everywhere().SerializeToString())
    expected = {
        "in constant",
        "in initializer",
        "in sparse values",
        "in sparse indices",
        "in branch",
        "in tensors",
        "in graphs",
        "in function",
        "in training",
    }
    assert external_files(path) == expected


def test_a_model_of_one_file_names_no_other(tmp_path: Path) -> None:
    write_graph(tmp_path / "model.onnx")
    assert external_files(tmp_path / "model.onnx") == set()


@pytest.mark.parametrize("cut", [0, 1, 7, 100])
def test_a_cut_or_strange_file_is_refused(cut: int, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(_everywhere().SerializeToString()[:cut])
    with pytest.raises(IntegrityError, match="not a valid ONNX file"):
        external_files(path)
    path.write_bytes(b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff")
    with pytest.raises(IntegrityError, match="not a valid ONNX file"):
        external_files(path)


def test_nesting_without_an_end_is_refused(tmp_path: Path) -> None:
    path, message = tmp_path / "model.onnx", b""
    for _ in range(300):
        for tag in (b"\x32", b"\x2a", b"\x0a"):  # graph of an attribute, of a node, of a graph
            message = tag + _varint(len(message)) + message
    path.write_bytes(b"\x3a" + _varint(len(message)) + message)
    with pytest.raises(IntegrityError, match="not a valid ONNX file"):
        external_files(path)


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])


def _move_table(bundle: Path, location: str) -> None:
    """Keep the vectors of the bundle's graph in another file, with the manifest as it is."""
    model = onnx.load(bundle / "model.onnx")
    (place,) = [i for i, tensor in enumerate(model.graph.initializer) if tensor.name == "table"]
    model.graph.initializer[place].CopyFrom(_external(location))
    (bundle / "model.onnx").write_bytes(model.SerializeToString())


@pytest.mark.parametrize("location", ["weights", "../weights", "./weights", "*/_ORT_MEM_ADDR_/*"])
def test_weights_that_are_not_listed_are_never_loaded(location: str, tmp_path: Path) -> None:
    """The file is there, and right: only nobody would notice if it were another one."""
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    write_bundle(bundle)
    _move_table(bundle, location)
    write_manifest(bundle)
    for directory in (bundle, tmp_path):
        (directory / "weights").write_bytes(TABLE.tobytes())
    with pytest.raises(BundleError, match="which the manifest does not list"):
        Engine.open(bundle)


def test_weights_that_are_listed_are_loaded_and_hashed(tmp_path: Path) -> None:
    write_bundle(tmp_path)
    _move_table(tmp_path, "weights")
    weights = tmp_path / "weights"
    weights.write_bytes(TABLE.tobytes())
    manifest = write_manifest(tmp_path)
    listed = BundleFile(
        role=FileRole.ONNX_DATA,
        path="weights",
        sha256=sha256_of(weights),
        bytes=TABLE.nbytes,
        precision="fp32",
    )
    write_manifest(tmp_path, files=[*manifest.files, listed])
    with Engine.open(tmp_path) as engine:
        assert engine.embed("the cat").vectors.shape == (1, TABLE.shape[1])
    weights.write_bytes(np.zeros_like(TABLE).tobytes())
    with pytest.raises(IntegrityError, match="SHA-256"):
        Engine.open(tmp_path)
