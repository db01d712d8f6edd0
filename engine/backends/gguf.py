"""llama.cpp: GGUF files on a GPU or a CPU.

Only its C functions are used. Token ids go in, so its tokenizer has no part in what is served.
"""

from __future__ import annotations

import ctypes
import re
import threading
from pathlib import Path
from typing import TypeAlias

import numpy as np

from engine.backends.gguf_batch import FlatBatch, RunLimits, pointer
from engine.backends.gguf_library import llama, no_gpu_message
from engine.backends.gguf_log import LogTail
from engine.cpu import available_cpus
from engine.errors import (
    BackendError,
    BundleError,
    ConfigurationError,
    IntegrityError,
    ManifestError,
)
from engine.gguf_header import GgufHeader, check_tokens
from engine.types import BackendOutput, Batch, FloatArray, Pooling

_POOLING = {
    Pooling.CLS: llama.LLAMA_POOLING_TYPE_CLS,
    Pooling.MEAN: llama.LLAMA_POOLING_TYPE_MEAN,
    Pooling.LAST_TOKEN: llama.LLAMA_POOLING_TYPE_LAST,
}
_DAMAGED = re.compile("corrupted or incomplete|failed to read")
_ALL_LAYERS = -1
PREFERRED_BATCH_TOKENS = 1024
"""llama.cpp fills an attention mask of this size squared on the CPU for every run."""
_Handle: TypeAlias = int
"""Address of one of llama.cpp's objects."""

_log = LogTail()
_log_callback = llama.llama_log_callback(_log.receive)  # must live as long as the process
llama.llama_backend_init()
HAS_AMX = b"AMX_INT8 = 1" in llama.llama_print_system_info()
"""Whether it was compiled for Intel's AMX. Compiled so by GCC 12, its products of Q8_0 load a tile
configuration of which only half was written, and the processor ends the process."""


class GgufBackend:
    """One model and one context, used by one thread at a time.

    On a CPU each run takes one sequence, so a vector can't depend on a batch: over the golden
    texts of all-MiniLM-L6-v2 in random orders, the largest difference is 0 (F32, F16, Q8_0).
    Several sequences in one run differ from one alone by up to 1.7e-4 (F32), 2.0e-4 (F16) and
    6.0e-3 (Q8_0) in a component of the normalised vector: attention sums over the batch in other
    groups, and rounding to steps (GELU's 16-bit table, Q8_0's 8-bit activations) enlarges that.
    They would be 15 % faster at 77 tokens on average, 60 % at 10.
    On a GPU a run takes many sequences; the difference there has not been measured.

    Flash attention is used where llama.cpp has it: on a CPU it is 45 % faster than without, and
    as close to the reference (cosine >= 0.999993 for F32 and F16).
    """

    name = "gguf"
    concurrency = 1
    preferred_batch_tokens = PREFERRED_BATCH_TOKENS
    max_padding = None
    free_padding_tokens = 0
    express_tokens = 0

    def __init__(
        self,
        model_path: Path,
        *,
        pooling: Pooling,
        precision: str,
        max_input_tokens: int,
        max_batch_tokens: int,
        threads: int | None = None,
        gpu: bool = False,
        max_batch_sequences: int | None = None,
    ) -> None:
        """Load a model and reserve memory for the largest batch.

        Args:
            model_path: a GGUF file.
            pooling: as the manifest says, whatever the file says.
            precision: name of the file's precision.
            max_input_tokens: most tokens of one sequence.
            max_batch_tokens: most tokens of a run of several sequences.
            threads: CPU threads of one run; as many as this process may use if None.
            gpu: compute all layers on the GPU.
            max_batch_sequences: most sequences of a run; if None, 1 on a CPU and all that
                llama.cpp takes (256) on a GPU.

        Raises:
            BundleError: the file is missing, damaged or not an embedding model.
            ConfigurationError: there is no GPU, or not enough memory.
        """
        if gpu:
            _require_gpu()
        self.precision = precision
        self.device = "cuda" if gpu else "cpu"
        self.max_batch_sequences = max_batch_sequences or (
            int(llama.llama_max_parallel_sequences()) if gpu else 1
        )
        self._limits = RunLimits(
            max_sequences=self.max_batch_sequences,
            max_input_tokens=max_input_tokens,
            max_tokens=max(max_input_tokens, max_batch_tokens)
            if self.max_batch_sequences > 1
            else max_input_tokens,
        )
        self._lock = threading.Lock()
        self._model: _Handle | None = _load_model(model_path, gpu=gpu)
        self._context: _Handle | None = None
        try:
            _check_length(self._model, max_input_tokens)
            self._context = _new_context(
                self._model, self._limits, pooling, threads or available_cpus()
            )
            self._memory: _Handle | None = llama.llama_get_memory(self._context)
            if self._memory is not None:
                _check_purpose(self._model)
        except BaseException:
            self.close()
            raise
        self.dimensions = int(llama.llama_model_n_embd_out(self._model))

    def run(self, batch: Batch) -> BackendOutput:
        """Compute the pooled vectors (B, D) of a batch, not normalised.

        Raises:
            BackendError: the batch is larger than the limits, or llama.cpp failed.
        """
        with self._lock:
            if self._context is None:
                raise BackendError("The GGUF backend is closed.")
            self._limits.check(batch)
            _listen()
            code = self._compute(FlatBatch(batch))
            if code != 0:
                raise BackendError(f"llama.cpp failed with code {code}: {_log.cause()}")
            return BackendOutput(pooled=self._pooled(len(batch.encodings)))

    def close(self) -> None:
        """Free the context and the model, after the run that is under way."""
        with self._lock:
            if self._context is not None:
                llama.llama_free(self._context)
            if self._model is not None:
                llama.llama_model_free(self._model)
            self._context = self._model = None

    def _compute(self, flat: FlatBatch) -> int:
        """Run a batch; what an earlier one left, finished or failed, is cleared first."""
        batch = llama.llama_batch(
            n_tokens=flat.tokens,
            token=flat.ids,
            pos=flat.positions,
            n_seq_id=flat.sequence_counts,
            seq_id=flat.sequences,
            logits=flat.outputs,
        )
        if self._memory is None:  # an encoder
            return int(llama.llama_encode(self._context, batch))
        llama.llama_memory_clear(self._memory, True)  # noqa: FBT003 - a C function
        return int(llama.llama_decode(self._context, batch))

    def _pooled(self, sequences: int) -> FloatArray:
        pooled = np.empty((sequences, self.dimensions), dtype=np.float32)
        for row in range(sequences):
            vector = llama.llama_get_embeddings_seq(self._context, row)
            if not vector:
                raise BackendError(f"llama.cpp gave no vector for sequence {row}.")
            pooled[row] = np.ctypeslib.as_array(vector, shape=(self.dimensions,))
        return pooled


class LlamaVocabulary:
    """llama.cpp's own tokenizer, to compare ours with. Not used to serve.

    Only the vocabulary of the file is loaded; BundleError if that can't be done.
    """

    def __init__(self, model_path: Path) -> None:
        self._model: _Handle | None = _load_model(model_path, vocab_only=True)

    def tokenize(
        self, text: str, *, add_special: bool = True, parse_special: bool = False
    ) -> list[int]:
        """Token ids of a text; `parse_special` reads names of special tokens as these tokens.

        Raises:
            BackendError: closed, or the text can't be tokenized.
        """
        if self._model is None:
            raise BackendError("The vocabulary is closed.")
        vocabulary = llama.llama_model_get_vocab(self._model)
        data = text.encode()
        size = len(data) + 2
        for _ in range(2):
            ids = np.empty(size, dtype=np.int32)
            count = llama.llama_tokenize(
                vocabulary, data, len(data), pointer(ids), size, add_special, parse_special
            )
            if count >= 0:
                return [int(token) for token in ids[:count]]
            size = -count
        raise BackendError(f"llama.cpp can't tokenize a text of {len(data)} bytes.")

    def close(self) -> None:
        """Free the vocabulary. Calling it twice is harmless."""
        if self._model is not None:
            llama.llama_model_free(self._model)
            self._model = None


def _listen() -> None:
    """Begin to keep what the next call logs, whoever had the process's one log before."""
    llama.llama_log_set(_log_callback, None)
    _log.clear()


def _require_gpu() -> None:
    if not llama.llama_supports_gpu_offload():
        raise ConfigurationError(no_gpu_message(llama.llama_print_system_info()))


def _load_model(path: Path, *, gpu: bool = False, vocab_only: bool = False) -> _Handle:
    """Load a GGUF file; its weights are mapped, not read."""
    check_tokens(path, GgufHeader.read(path))  # some damage ends the process in llama.cpp
    params = llama.llama_model_default_params()
    params.vocab_only = vocab_only
    params.use_extra_bufts = not HAS_AMX  # without: F32 as fast, F16 10 % slower
    no_devices = (ctypes.c_void_p * 1)()
    if gpu:
        params.n_gpu_layers = _ALL_LAYERS
    else:
        params.n_gpu_layers = 0
        params.devices = ctypes.addressof(no_devices)  # else a GPU takes large products
    _listen()
    model: _Handle | None = llama.llama_model_load_from_file(str(path).encode(), params)
    if model is None:
        cause = _log.cause()
        error = IntegrityError if _DAMAGED.search(cause) else BundleError
        raise error(f"llama.cpp can't load {path}: {cause}")
    return model


def _new_context(model: _Handle, limits: RunLimits, pooling: Pooling, threads: int) -> _Handle:
    params = llama.llama_context_default_params()
    params.n_ctx = params.n_batch = params.n_ubatch = limits.max_tokens
    params.n_seq_max = limits.max_sequences
    params.n_threads = params.n_threads_batch = threads
    params.embeddings = True
    params.pooling_type = _POOLING[pooling]
    params.flash_attn_type = llama.LLAMA_FLASH_ATTN_TYPE_AUTO
    params.kv_unified = True  # else each sequence has a fixed share of n_ctx
    params.no_perf = True
    _listen()
    context: _Handle | None = llama.llama_init_from_model(model, params)
    if context is None:
        raise ConfigurationError(
            f"llama.cpp can't be made ready for {limits.max_tokens} tokens: {_log.cause()}. "
            "Where memory is short, lower max_batch_tokens or context_size."
        )
    return context


def _check_length(model: _Handle, max_input_tokens: int) -> None:
    """A longer sequence would read past the table of positions."""
    trained: int = llama.llama_model_n_ctx_train(model)
    if max_input_tokens > trained:
        raise ManifestError(
            f"max_input_tokens is {max_input_tokens}, but the GGUF file's context has {trained}."
        )


def _check_purpose(model: _Handle) -> None:
    """A decoder is a model for embeddings only if its file says how to pool."""
    architecture = _metadata(model, "general.architecture")
    if _metadata(model, f"{architecture}.pooling_type") not in map(str, _POOLING.values()):
        raise BundleError(
            f"The GGUF file's architecture {architecture!r} generates text and it declares no "
            "pooling: it is not an embedding model."
        )


def _metadata(model: _Handle, key: str) -> str:
    """A value of the file's metadata as text, empty if there is none."""
    buffer = ctypes.create_string_buffer(256)
    llama.llama_model_meta_val_str(model, key.encode(), buffer, len(buffer))
    return buffer.value.decode("utf-8", "replace")
