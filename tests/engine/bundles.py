"""Tiny bundles for the tests: a table of vectors as an ONNX graph, and all files around it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from engine.golden import encode_vector
from engine.model import (
    MANIFEST_NAME,
    BundleFile,
    FileRole,
    Manifest,
    sha256_of,
)
from engine.testing import fake_tokenizer
from engine.types import FloatArray, Pooling
from tests.engine.certificates import agreement, certificate

VOCABULARY_SIZE = 16
DIMENSIONS = 4
GOLDEN_TEXTS = ("the cat", "a dog sat on the mat", "red", "the blue house runs")

TABLE: FloatArray = np.random.default_rng(11).standard_normal(
    (VOCABULARY_SIZE, DIMENSIONS), dtype=np.float32
)
"""The token vector of each id."""

_IDS_TYPES = {"int32": TensorProto.INT32, "int64": TensorProto.INT64}


def write_graph(
    path: Path,
    *,
    table: FloatArray = TABLE,
    inputs: Mapping[str, str] | None = None,
    pooled: bool = False,
    precision: type = np.float32,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """A graph that looks each id up in a table.

    Every input besides `input_ids` is added to the vectors, as a number, so a wrong mask or
    type shows. `inputs` maps names to `int32`, `int64` or `float`; `pooled` drops the tokens,
    `metadata` is what the graph says of itself.
    """
    inputs = {"input_ids": "int64"} if inputs is None else inputs
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(precision))
    nodes = [helper.make_node("Gather", ["table", next(iter(inputs))], ["vectors_0"])]
    for index, name in enumerate(list(inputs)[1:]):
        nodes += [
            helper.make_node("Cast", [name], [f"{name}_number"], to=kind),
            helper.make_node("Unsqueeze", [f"{name}_number", "last"], [f"{name}_column"]),
            helper.make_node(
                "Add", [f"vectors_{index}", f"{name}_column"], [f"vectors_{index + 1}"]
            ),
        ]
    last = f"vectors_{len(inputs) - 1}"
    if pooled:
        nodes.append(helper.make_node("ReduceMean", [last], ["output"], axes=[1], keepdims=0))
    else:
        nodes.append(helper.make_node("Identity", [last], ["output"]))
    shape = ["batch", table.shape[1]] if pooled else ["batch", "tokens", table.shape[1]]
    graph = helper.make_graph(
        nodes,
        "table",
        [
            helper.make_tensor_value_info(
                name, _IDS_TYPES.get(dtype, TensorProto.FLOAT), ["batch", "tokens"]
            )
            for name, dtype in inputs.items()
        ],
        [helper.make_tensor_value_info("output", kind, shape)],
        [
            numpy_helper.from_array(table.astype(precision), "table"),
            numpy_helper.from_array(np.array([-1], dtype=np.int64), "last"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, dict(metadata or {}))
    path.write_bytes(model.SerializeToString())


def golden_row(text: str) -> dict[str, Any]:
    ids = fake_tokenizer().encode(text).ids
    vector = TABLE[ids].astype(np.float64).mean(axis=0)
    vector /= np.linalg.norm(vector)
    return {
        "name": text,
        "text": text,
        "input_ids": ids,
        "embedding": encode_vector(vector.astype(np.float32)),
    }


def write_golden(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    path.write_text(json.dumps({"reference": "numpy", "texts": list(rows)}))


CERTIFICATE = certificate(agreement())


def write_manifest(directory: Path, **changes: object) -> Manifest:
    """Describe the files that lie in the directory, as they are now."""
    roles = {
        "tokenizer.json": (FileRole.TOKENIZER, None),
        "model.onnx": (FileRole.ONNX, "fp32"),
        "golden.json": (FileRole.GOLDEN, None),
    }
    files = [
        BundleFile(
            role=role,
            path=name,
            sha256=sha256_of(directory / name),
            bytes=(directory / name).stat().st_size,
            precision=precision,
        )
        for name, (role, precision) in roles.items()
        if (directory / name).exists()
    ]
    values: dict[str, object] = {
        "schema": 1,
        "name": "table",
        "architecture": "table",
        "pooling": Pooling.MEAN,
        "normalize": True,
        "max_input_tokens": 16,
        "vocabulary_size": VOCABULARY_SIZE,
        "dimensions": DIMENSIONS,
        "files": files,
        "fingerprint": "ab" * 16,
        "certificate": CERTIFICATE,
    }
    manifest = Manifest.model_validate(values | changes)
    (directory / MANIFEST_NAME).write_text(manifest.to_json())
    return manifest


def write_bundle(directory: Path, **changes: object) -> Path:
    """A whole bundle that opens; `changes` go into its manifest."""
    fake_tokenizer().save(str(directory / "tokenizer.json"))
    write_graph(directory / "model.onnx")
    write_golden(directory / "golden.json", [golden_row(text) for text in GOLDEN_TEXTS])
    write_manifest(directory, **changes)
    return directory
