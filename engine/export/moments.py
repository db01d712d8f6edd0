"""What the inputs of a graph's products are like: their second moments, over samples of tokens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

from engine.cpu import available_cpus
from engine.errors import ExportError
from engine.export.onnx_rewrite import product_inputs
from engine.export.token_samples import TokenSample
from engine.types import FloatArray, IntArray

_CHUNK_TOKENS = 1024
"""Tokens that are computed at once: all that the products take of them is in memory together."""


def second_moments(fp32_path: Path, samples: Sequence[TokenSample]) -> Mapping[str, FloatArray]:
    """X^T X (K, K) float32 of each input X (tokens, K) of products with constant matrices.

    Each sequence weighs its sample's weight, whatever its length. A graph of L layers of D
    channels, 4 D of them in the FFN, takes 72 L D^2 bytes: 64 MB for all-MiniLM-L6-v2.

    Raises:
        ExportError: the graph computes numbers of these tokens that are not finite.
    """
    model = onnx.load(fp32_path, load_external_data=False)
    names = product_inputs(model.graph)
    if not names:
        return {}
    known = {output.name for output in model.graph.output}
    model.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
        for name in names
        if name not in known
    )
    path = fp32_path.with_name(f"{fp32_path.name}.moments")  # beside the weights it refers to
    path.write_bytes(model.SerializeToString())
    try:
        return _measure(_open(path), names, samples)
    finally:
        path.unlink()


def _measure(
    session: onnxruntime.InferenceSession, names: Sequence[str], samples: Sequence[TokenSample]
) -> dict[str, FloatArray]:
    found: dict[str, FloatArray] = {}
    for ids, weight in _chunks(samples):
        given = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
        feed = {entry.name: given[entry.name] for entry in session.get_inputs()}
        for name, values in zip(names, session.run(names, feed), strict=True):
            rows: FloatArray = values.reshape(-1, values.shape[-1])
            with np.errstate(over="ignore", invalid="ignore"):  # seen below
                moment = (rows.T @ rows) * np.float32(weight / ids.shape[1])
                found[name] = found[name] + moment if name in found else moment
    for name, moment in found.items():
        if not np.isfinite(moment).all():
            raise ExportError(
                f"The model's numbers are not finite at {name!r}: int8 can't be fitted to them."
            )
    return found


def _chunks(samples: Sequence[TokenSample]) -> Iterator[tuple[IntArray, float]]:
    for sample in samples:
        size = max(1, _CHUNK_TOKENS // sample.ids.shape[1])
        for start in range(0, len(sample.ids), size):
            yield sample.ids[start : start + size], sample.weight


def _open(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = available_cpus()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
