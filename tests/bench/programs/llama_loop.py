"""llama.cpp in the plainest loop: batches in the order of the texts, as many as fit, no queue."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import llama_cpp.llama_cpp as llama
import numpy as np

from engine.backends.gguf import HAS_AMX
from engine.types import FloatArray, IntArray

_MAX_TOKENS = 256


class LlamaLoop:
    """A model, a context and filled batches of llama.cpp, used through its C functions only.

    The batches are filled before anything is timed, as Python takes longer for that than a GPU.
    """

    def __init__(
        self, model: Path, inputs: Sequence[IntArray], *, batch_tokens: int, gpu: bool
    ) -> None:
        llama.llama_backend_init()
        wanted = llama.llama_model_default_params()
        wanted.n_gpu_layers = -1 if gpu else 0
        wanted.use_extra_bufts = not HAS_AMX  # else Q8_0 ends the process; see engine.backends.gguf
        self._model = llama.llama_model_load_from_file(str(model).encode(), wanted)
        if self._model is None:
            raise RuntimeError(f"llama.cpp can't load {model}.")
        self._tokens = max(batch_tokens, _MAX_TOKENS)
        self._sequences = int(llama.llama_max_parallel_sequences())
        params = llama.llama_context_default_params()
        params.n_ctx = params.n_batch = params.n_ubatch = self._tokens
        params.n_seq_max = self._sequences
        params.embeddings = True
        params.kv_unified = True
        params.pooling_type = llama.LLAMA_POOLING_TYPE_MEAN
        self._context = llama.llama_init_from_model(self._model, params)
        self._dimensions = int(llama.llama_model_n_embd(self._model))
        self._batches = [(self._filled(group), len(group)) for group in self._groups(inputs)]

    def embed(self) -> FloatArray:
        """Vectors (N, D), not normalised, in the order of the inputs."""
        return np.concatenate([self._run(batch, rows) for batch, rows in self._batches])

    def _groups(self, inputs: Sequence[IntArray]) -> Iterator[list[IntArray]]:
        group: list[IntArray] = []
        for ids in inputs:
            tokens = sum(map(len, group)) + len(ids)
            if group and (tokens > self._tokens or len(group) == self._sequences):
                yield group
                group = []
            group.append(ids)
        yield group

    def _filled(self, group: list[IntArray]) -> Any:  # noqa: ANN401 - a C structure
        batch, place = llama.llama_batch_init(self._tokens, 0, 1), 0
        for row, ids in enumerate(group):
            for position, token in enumerate(ids.tolist()):
                batch.token[place] = token
                batch.pos[place] = position
                batch.n_seq_id[place] = 1
                batch.seq_id[place][0] = row
                batch.logits[place] = 1
                place += 1
        batch.n_tokens = place
        return batch

    def _run(self, batch: Any, rows: int) -> FloatArray:  # noqa: ANN401
        if llama.llama_encode(self._context, batch) != 0:
            raise RuntimeError("llama.cpp failed.")
        size = self._dimensions
        vectors = [llama.llama_get_embeddings_seq(self._context, row) for row in range(rows)]
        return np.stack([np.ctypeslib.as_array(v, shape=(size,)).copy() for v in vectors])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for batch, _rows in self._batches:
            llama.llama_batch_free(batch)
        llama.llama_free(self._context)
        llama.llama_model_free(self._model)
