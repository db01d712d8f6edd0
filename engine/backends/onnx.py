"""ONNX Runtime: the CPU server, AWS Lambda, and CUDA where onnxruntime-gpu is installed."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np

# Before the import: it starts to send what it does to its maker, whatever --offline says.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime
from numpy.typing import NDArray

from engine.backends.denormals import denormals_as_zero
from engine.backends.rows import ROW_TOKENS, Rows, one_a_row, share_rows
from engine.cpu import available_cpus, has_exact_int8
from engine.errors import BackendError, ConfigurationError, IntegrityError
from engine.types import BackendOutput, Batch, FloatArray

_CUDA = "CUDAExecutionProvider"
_CPU = "CPUExecutionProvider"
_INT8 = "int8"
_DTYPES = {"tensor(int32)": np.int32, "tensor(int64)": np.int64}
_OUTPUT_RANK = 3
_CPU_BATCH_TOKENS = 192
"""A core computes a token in 0.16 ms in runs of so many, in 0.18 ms in runs of 64; larger ones only
make others wait."""
_CPU_RUN_TOKENS = 16
"""A run of 8 tokens takes as long as 24 more tokens of a larger one: it reads all weights."""
_EXPRESS_TOKENS = 128
_WIDE_TOKENS = 32
_GPU_BATCH_TOKENS = 16_384
_GPU_RUN_TOKENS = 1024
_MAX_PADDING = 0.1
_KNOWN_INPUTS = frozenset({"input_ids", "attention_mask", "token_type_ids"})


class OnnxBackend:
    """On a CPU, several single-threaded runs at once beat one with many threads.

    So the session that most batches run on has one thread. A batch that is alone on the machine
    runs on a second, wide one with all threads. That one shares the memory-mapped weights, as it
    does not pack them anew: it costs no memory, and from 32 tokens on it is up to twice as fast.

    The graph takes `input_ids` (B, T) and, if it declares them, `attention_mask` and
    `token_type_ids`; its first output is (B, T, D). Sequences are padded on the right; but those
    of a graph that says that it can tell them apart stand side by side in a row on a CPU.
    """

    name = "onnx"
    max_batch_sequences = 2048

    def __init__(
        self,
        model_path: Path,
        *,
        precision: str,
        threads: int | None = None,
        gpu: bool = False,
    ) -> None:
        """Load a graph and its external data.

        Raises:
            ConfigurationError: a GPU is asked for, but can't be used; or the CPU can't compute in
                this precision.
            IntegrityError: the file is not a model that this runtime can load.
        """
        if gpu and _CUDA not in onnxruntime.get_available_providers():
            raise ConfigurationError(
                "A GPU was asked for, but the installed ONNX Runtime was built without CUDA. "
                "Start without --gpu, or install onnxruntime-gpu in the place of onnxruntime."
            )
        if precision == _INT8 and (gpu or not has_exact_int8()):
            raise ConfigurationError(
                "int8 runs on a CPU that sums products of 8-bit numbers exactly, which "
                f"{'a GPU is not' if gpu else 'this one (without VNNI or AMX) does not'}. Start "
                "with --precision fp32."
            )
        self.precision = precision
        self.device = "cuda" if gpu else "cpu"
        self.concurrency = 1 if gpu else threads or available_cpus()
        self.preferred_batch_tokens = _GPU_BATCH_TOKENS if gpu else _CPU_BATCH_TOKENS
        self.free_padding_tokens = _GPU_RUN_TOKENS if gpu else _CPU_RUN_TOKENS
        self.express_tokens = 0 if gpu else _EXPRESS_TOKENS
        self._session: onnxruntime.InferenceSession | None = _open_session(model_path, gpu=gpu)
        self._wide_session: onnxruntime.InferenceSession | None = None
        if self.concurrency > 1:
            self._wide_session = _open_session(
                model_path, threads=self.concurrency, packed=precision != "fp32"
            )
        metadata = self._session.get_modelmeta().custom_metadata_map
        self._row_tokens = 0 if gpu else _row_tokens(model_path, metadata.get(ROW_TOKENS, "0"))
        self.max_padding = None if self._row_tokens else _MAX_PADDING
        self._dtypes = {entry.name: _DTYPES.get(entry.type) for entry in self._session.get_inputs()}
        unknown = set(self._dtypes) - _KNOWN_INPUTS
        if unknown or "input_ids" not in self._dtypes or None in self._dtypes.values():
            raise IntegrityError(
                f"{model_path} has inputs that are not known: {sorted(unknown)}. "
                f"Known, as int32 or int64: {sorted(_KNOWN_INPUTS)}."
            )
        outputs = [(output.name, output.shape) for output in self._session.get_outputs()]
        if not outputs or len(outputs[0][1]) != _OUTPUT_RANK:
            raise IntegrityError(
                f"{model_path} has the outputs {outputs}; the first must be (sequences, tokens, "
                "dimensions)."
            )
        self._output = outputs[0][0]

    def run(self, batch: Batch) -> BackendOutput:
        """Compute the token vectors of a batch.

        Raises:
            BackendError: the runtime failed.
        """
        wide = batch.alone and batch.tokens >= _WIDE_TOKENS
        session = self._wide_session or self._session if wide else self._session
        if session is None:
            raise BackendError("The ONNX backend is closed.")
        lengths = [encoding.tokens for encoding in batch.encodings]
        if self._row_tokens:
            rows = share_rows(lengths, widest=self._row_tokens)
        else:
            rows = one_a_row(lengths)
        try:
            with denormals_as_zero():
                (hidden,) = session.run([self._output], self._feed(batch, rows))
        except Exception as exc:  # the runtime's errors share no public base
            raise BackendError(f"ONNX Runtime failed: {exc}") from exc
        if np.ndim(hidden) != _OUTPUT_RANK or hidden.shape[:2] != (rows.number, rows.width):
            raise BackendError(
                f"ONNX Runtime gave the shape {np.shape(hidden)} for {rows.number} rows of "
                f"{rows.width} tokens."
            )
        vectors: FloatArray = np.asarray(hidden, dtype=np.float32)
        return BackendOutput(
            token_vectors=tuple(
                vectors[row, start : start + length]
                for (row, start), length in zip(rows.places, lengths, strict=True)
            )
        )

    def close(self) -> None:
        """Free the sessions."""
        self._session = None
        self._wide_session = None

    def _feed(self, batch: Batch, rows: Rows) -> dict[str, NDArray[np.generic]]:
        """Inputs (B, T). The mask has where the sequence of each token starts, counted from 1."""
        feed: dict[str, NDArray[np.generic]] = {}
        for name, dtype in self._dtypes.items():
            values = np.zeros((rows.number, rows.width), dtype=dtype)
            if name != "token_type_ids":
                for (row, start), encoding in zip(rows.places, batch.encodings, strict=True):
                    given = encoding.input_ids if name == "input_ids" else 1 + start
                    values[row, start : start + encoding.tokens] = given
            feed[name] = values
        return feed


def _row_tokens(model_path: Path, stated: str) -> int:
    if not re.fullmatch("[0-9]{1,7}", stated):
        raise IntegrityError(f"{model_path} states rows of {stated[:40]!r} tokens.")
    return int(stated)


def _open_session(
    model_path: Path, *, threads: int = 1, packed: bool = True, gpu: bool = False
) -> onnxruntime.InferenceSession:
    """Load a graph; `packed` copies its weights into the layout that the kernels read fastest."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3 if gpu else 4  # what it raises says the same as its log
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if threads > 1:  # The thread that calls does so itself.
        options.add_session_config_entry("session.set_denormal_as_zero", "1")
    options.add_session_config_entry("session.disable_prepacking", "0" if packed else "1")
    try:
        session = onnxruntime.InferenceSession(
            str(model_path), options, providers=[_CUDA, _CPU] if gpu else [_CPU]
        )
    except Exception as exc:  # the runtime's errors share no public base
        raise IntegrityError(f"ONNX Runtime can't load {model_path}: {exc}") from exc
    if gpu and _CUDA not in session.get_providers():  # it falls back without a word
        raise ConfigurationError(
            "A GPU was asked for, but ONNX Runtime could not start on one: there is none (see "
            "`nvidia-smi`), or its CUDA or cuDNN libraries are missing or of another version. "
            "Start without --gpu, or install them."
        )
    return session
