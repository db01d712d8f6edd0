"""OpenVINO: the fp32 ONNX file in bfloat16, on CPUs that multiply in it (AMX or AVX-512)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import numpy as np
import openvino
from numpy.typing import NDArray

from engine.cpu import available_cpus, has_bf16
from engine.errors import BackendError, ConfigurationError, IntegrityError
from engine.types import BackendOutput, Batch, Encoding, FloatArray

OPENVINO_PRECISION = "bf16"
_BUCKET_TOKENS = 16
"""Sequences are padded to a multiple of this, which each shape of a run is compiled for.

Of 1, 8, 16 and 32, it has the most throughput and little memory: see docs/performance.md.
"""
_BATCH_TOKENS = 512
_INPUTS = ("input_ids", "attention_mask")
_OUTPUT_RANK = 3


class OpenVinoBackend:
    """Single-threaded runs of as many streams as CPUs, over one compiled model.

    In bfloat16 a vector depends, by up to 7e-4, on how far its sequence is padded. So a sequence
    is padded by a rule that knows its own length only, and runs with others of that padded
    length: alone or not, its vector is the same to the bit.
    """

    name = "openvino"
    device = "cpu"
    precision = OPENVINO_PRECISION
    max_batch_sequences = 2048
    preferred_batch_tokens = _BATCH_TOKENS
    max_padding = 0.1
    free_padding_tokens = _BUCKET_TOKENS
    express_tokens = 0

    def __init__(
        self, model_path: Path, *, max_input_tokens: int, threads: int | None = None
    ) -> None:
        """Read and compile a graph.

        Args:
            model_path: an ONNX file with `input_ids` and `attention_mask` (B, T) int32, and token
                vectors (B, T, D) as its output.
            max_input_tokens: what the model takes: no sequence is padded beyond it.
            threads: runs at once; by default as many as this process may use CPUs.

        Raises:
            ConfigurationError: the CPU does not compute in bfloat16.
            IntegrityError: the file is not a model that this runtime can load.
        """
        if not has_bf16():
            raise ConfigurationError(
                "This CPU has neither AMX-BF16 nor AVX512-BF16, which bf16 on OpenVINO needs. "
                "Start with --engine onnx."
            )
        self.concurrency = threads or available_cpus()
        self._max_input_tokens = max_input_tokens
        self._model: openvino.CompiledModel | None = _compile(model_path, self.concurrency)
        self._requests: list[openvino.InferRequest] = []
        names = [min(entry.get_names(), default="") for entry in self._model.inputs]
        ranks = [len(entry.get_partial_shape()) for entry in self._model.outputs[:1]]
        if names != list(_INPUTS) or ranks != [_OUTPUT_RANK]:
            raise IntegrityError(
                f"{model_path} has the inputs {names} and a first output of the ranks {ranks}; "
                f"needed are {list(_INPUTS)} and (sequences, tokens, dimensions)."
            )

    def run(self, batch: Batch) -> BackendOutput:
        """Compute the token vectors of a batch, in one run for each padded length.

        Raises:
            BackendError: the runtime failed.
        """
        vectors: list[FloatArray | None] = [None] * len(batch.encodings)
        order = sorted(range(len(vectors)), key=lambda row: self._padded(batch.encodings[row]))
        for length, rows in groupby(order, key=lambda row: self._padded(batch.encodings[row])):
            places = list(rows)
            together = [batch.encodings[row] for row in places]
            for row, found in zip(places, self._infer(together, length), strict=True):
                vectors[row] = found
        return BackendOutput(token_vectors=tuple(found for found in vectors if found is not None))

    def close(self) -> None:
        """Free the model."""
        self._model = None
        self._requests.clear()

    def _free_request(self, model: openvino.CompiledModel) -> openvino.InferRequest:
        """One that no other thread uses: taking it from the list and putting it back are atomic."""
        try:
            return self._requests.pop()
        except IndexError:
            return model.create_infer_request()

    def _padded(self, encoding: Encoding) -> int:
        buckets = -(-encoding.tokens // _BUCKET_TOKENS)
        return max(encoding.tokens, min(buckets * _BUCKET_TOKENS, self._max_input_tokens))

    def _infer(self, encodings: Sequence[Encoding], length: int) -> list[FloatArray]:
        """Token vectors of sequences that are all padded to this length."""
        model = self._model
        if model is None:
            raise BackendError("The OpenVINO backend is closed.")
        ids: NDArray[np.int32] = np.zeros((len(encodings), length), dtype=np.int32)
        mask = np.zeros_like(ids)
        for row, encoding in enumerate(encodings):
            ids[row, : encoding.tokens] = encoding.input_ids
            mask[row, : encoding.tokens] = 1
        try:
            request = self._free_request(model)
            request.infer({0: ids, 1: mask})
            hidden = request.get_output_tensor(0).data
            found = [hidden[row, : one.tokens].copy() for row, one in enumerate(encodings)]
        except Exception as exc:  # the runtime's errors share no public base
            raise BackendError(f"OpenVINO failed: {exc}") from exc
        self._requests.append(request)
        return found


def _compile(model_path: Path, streams: int) -> openvino.CompiledModel:
    options = {
        "INFERENCE_PRECISION_HINT": OPENVINO_PRECISION,
        "NUM_STREAMS": streams,
        "INFERENCE_NUM_THREADS": streams,
        "ENABLE_CPU_PINNING": False,
    }
    try:
        core = openvino.Core()
        return core.compile_model(core.read_model(str(model_path)), "CPU", options)
    except Exception as exc:  # the runtime's errors share no public base
        raise IntegrityError(f"OpenVINO can't load {model_path}: {exc}") from exc
