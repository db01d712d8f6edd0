"""The yardstick: texts -> vectors with nothing but tokenizers, numpy and ONNX Runtime.

The best of the simple loops that were tried: all texts are known at the start, sorted by length,
cut into batches of 256 padded tokens, and two threads run these on one session.
"""

from __future__ import annotations

import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import tokenizers

from tests.bench.programs.lines import answer_lines

_BATCH_TOKENS = 256
_MAX_TOKENS = 256
_DTYPES = {"tensor(int32)": np.int32, "tensor(int64)": np.int64}


class BareRuntime:
    """One session, as many threads as cores."""

    def __init__(self, bundle: Path) -> None:
        threads = len(os.sched_getaffinity(0))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            str(bundle / "model.onnx"), options, providers=["CPUExecutionProvider"]
        )
        self._inputs = {entry.name: _DTYPES[entry.type] for entry in self._session.get_inputs()}
        self._tokenizer = tokenizers.Tokenizer.from_file(str(bundle / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(_MAX_TOKENS)
        self._threads = ThreadPoolExecutor(threads)

    def embed(self, texts: list[str]) -> tuple[np.ndarray[Any, Any], int]:
        """Vectors (N, D), and the number of tokens."""
        encodings = self._tokenizer.encode_batch_fast(texts)
        order = sorted(range(len(texts)), key=lambda index: -len(encodings[index].ids))
        batches: list[list[int]] = []
        for index in order:
            longest = len(encodings[batches[-1][0]].ids) if batches else 0
            if batches and longest * (len(batches[-1]) + 1) <= _BATCH_TOKENS:
                batches[-1].append(index)
            else:
                batches.append([index])
        ids = [encoding.ids for encoding in encodings]
        vectors = np.empty((len(texts), 384), dtype=np.float32)
        for batch, found in zip(
            batches, self._threads.map(lambda batch: self._run([ids[i] for i in batch]), batches),
            strict=True,
        ):  # fmt: skip
            vectors[batch] = found
        return vectors, sum(map(len, ids))

    def _run(self, rows: list[list[int]]) -> np.ndarray[Any, Any]:
        mask = np.zeros((len(rows), len(rows[0])), dtype=np.int64)
        ids = np.zeros_like(mask)
        for row, values in enumerate(rows):
            ids[row, : len(values)] = values
            mask[row, : len(values)] = 1
        given = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(mask)}
        feed = {name: given[name].astype(dtype) for name, dtype in self._inputs.items()}
        hidden = self._session.run(None, feed)[0]
        weights = mask[:, :, None].astype(np.float32)
        pooled = (hidden * weights).sum(axis=1) / weights.sum(axis=1)
        vectors: np.ndarray[Any, Any] = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
        return vectors


def main() -> None:
    """Answer {"texts": [...]} with the seconds that it took."""
    runtime = BareRuntime(Path(sys.argv[1]))

    def answer(question: dict[str, Any]) -> dict[str, Any]:
        started = time.perf_counter()
        vectors, tokens = runtime.embed(question["texts"])
        seconds = time.perf_counter() - started
        return {"seconds": seconds, "tokens": tokens, "first": vectors[0].tolist()}

    answer_lines(answer)


if __name__ == "__main__":
    main()
