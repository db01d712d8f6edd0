"""The reference: a forward pass in plain numpy, straight from a GGUF file's tensors.

It shares no code with the graphs that are compared with it, and needs neither torch nor llama.cpp.
Products are float32; means, variances, sums of softmax and pooling are float64.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from engine.errors import UnsupportedArchitectureError
from engine.export.gguf_file import GgufFile
from engine.types import FloatArray, IntArray, Pooling

_CHUNK_TOKENS = 1024
"""Tokens computed together, to bound memory; a longer sequence is a chunk of its own."""
_ERF_LIMIT = 5
"""erf is 1 in float32 from here on."""
_ERF_STEPS = 4096


class Reference:
    """The model of a GGUF file. Sequences are never padded."""

    def __init__(self, source: GgufFile) -> None:
        """Load all tensors as float32.

        Raises:
            UnsupportedArchitectureError: the forward pass of this architecture is not known.
        """
        if source.architecture != "bert":
            raise UnsupportedArchitectureError(architecture=source.architecture, supported=["bert"])
        self._tensors = {name: source.tensor(name) for name in source.names}
        self._blocks = int(source.hyperparameter("block_count"))
        self._heads = int(source.hyperparameter("attention.head_count"))
        self._epsilon = float(source.hyperparameter("attention.layer_norm_epsilon"))

    def embed(
        self, sequences: Sequence[IntArray], *, pooling: Pooling, normalize: bool
    ) -> FloatArray:
        """Pooled vectors (N, D) float32, of length 1 where `normalize`."""
        rows = [_pool(vectors, pooling) for vectors in self.token_vectors(sequences)]
        pooled = np.stack(rows)
        if normalize:
            pooled /= np.linalg.norm(pooled, axis=1, keepdims=True)
        return pooled.astype(np.float32)

    def token_vectors(self, sequences: Sequence[IntArray]) -> list[FloatArray]:
        """Vectors (T, D) of the tokens of each sequence (T,)."""
        found: list[FloatArray] = []
        for chunk in _chunks(sequences):
            bounds = np.cumsum([0, *(ids.size for ids in chunk)]).tolist()
            hidden = self._embeddings(chunk)
            for index in range(self._blocks):
                hidden = self._block(hidden, f"blk.{index}", bounds)
            found.extend(np.split(hidden, bounds[1:-1]))
        return found

    def _embeddings(self, chunk: Sequence[IntArray]) -> FloatArray:
        """Token, type and position, normalised, for the tokens of all sequences in a row."""
        positions = np.concatenate([np.arange(ids.size) for ids in chunk])
        tokens: FloatArray = self._tensors["token_embd.weight"][np.concatenate(chunk)]
        types = self._tensors["token_types.weight"][0]
        placed = tokens + types + self._tensors["position_embd.weight"][positions]
        return self._norm(placed, "token_embd_norm")

    def _block(self, hidden: FloatArray, block: str, bounds: Sequence[int]) -> FloatArray:
        attended = self._linear(self._attention(hidden, block, bounds), f"{block}.attn_output")
        hidden = self._norm(hidden + attended, f"{block}.attn_output_norm")
        active = gelu(self._linear(hidden, f"{block}.ffn_up"))
        fed = self._linear(active, f"{block}.ffn_down")
        return self._norm(hidden + fed, f"{block}.layer_output_norm")

    def _attention(self, hidden: FloatArray, block: str, bounds: Sequence[int]) -> FloatArray:
        """softmax(Q K^T / sqrt(head size)) V within each sequence (Vaswani et al. 2017)."""
        size = hidden.shape[1] // self._heads
        query, key, value = (
            self._linear(hidden, f"{block}.{name}").reshape(-1, self._heads, size).swapaxes(0, 1)
            for name in ("attn_q", "attn_k", "attn_v")
        )
        context = np.empty_like(query)
        for start, end in itertools.pairwise(bounds):
            scores = query[:, start:end] @ key[:, start:end].swapaxes(1, 2) / math.sqrt(size)
            weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
            sums = weights.sum(axis=-1, keepdims=True, dtype=np.float64)
            context[:, start:end] = (weights / sums.astype(np.float32)) @ value[:, start:end]
        return context.swapaxes(0, 1).reshape(hidden.shape)

    def _linear(self, values: FloatArray, name: str) -> FloatArray:
        product: FloatArray = values @ self._tensors[f"{name}.weight"].T
        return product + self._tensors[f"{name}.bias"]

    def _norm(self, values: FloatArray, name: str) -> FloatArray:
        centred = values - values.mean(axis=-1, keepdims=True, dtype=np.float64)
        variance = (centred**2).mean(axis=-1, keepdims=True)
        scaled: FloatArray = (centred / np.sqrt(variance + self._epsilon)).astype(np.float32)
        return scaled * self._tensors[f"{name}.weight"] + self._tensors[f"{name}.bias"]


def gelu(values: FloatArray) -> FloatArray:
    """The exact GELU, x * (1 + erf(x / sqrt 2)) / 2 (Hendrycks and Gimpel 2016)."""
    scaled = values * np.float32(math.sqrt(0.5))
    result: FloatArray = np.float32(0.5) * values * (np.float32(1.0) + erf(scaled))
    return result


def erf(values: FloatArray) -> FloatArray:
    """The error function to about 1e-7: a table, and a Taylor step of second order from it."""
    table, slopes = _erf_table()
    clipped = np.clip(values, -_ERF_LIMIT, _ERF_LIMIT)
    nearest = np.rint(clipped * np.float32(_ERF_STEPS))
    start = nearest / np.float32(_ERF_STEPS)
    step = clipped - start
    index = nearest.astype(np.int32) + _ERF_LIMIT * _ERF_STEPS
    result: FloatArray = table[index] + slopes[index] * step * (np.float32(1.0) - start * step)
    return result


@cache
def _erf_table() -> tuple[FloatArray, FloatArray]:
    """The error function and its derivative 2 / sqrt(pi) * exp(-x^2) at each step."""
    points = np.arange(-_ERF_LIMIT * _ERF_STEPS, _ERF_LIMIT * _ERF_STEPS + 1) / _ERF_STEPS
    values = np.array([math.erf(point) for point in points.tolist()])
    slopes = 2.0 / math.sqrt(math.pi) * np.exp(-(points**2))
    return values.astype(np.float32), slopes.astype(np.float32)


def _chunks(sequences: Sequence[IntArray]) -> Iterator[list[IntArray]]:
    """Split into runs of neighbours with at most `_CHUNK_TOKENS` tokens each."""
    chunk: list[IntArray] = []
    for ids in sequences:
        if chunk and sum(map(len, chunk)) + ids.size > _CHUNK_TOKENS:
            yield chunk
            chunk = []
        chunk.append(ids)
    if chunk:
        yield chunk


def _pool(vectors: FloatArray, pooling: Pooling) -> NDArray[np.float64]:
    exact = vectors.astype(np.float64)
    if pooling is Pooling.MEAN:
        mean: NDArray[np.float64] = exact.mean(axis=0)
        return mean
    pooled: NDArray[np.float64] = exact[0 if pooling is Pooling.CLS else -1]
    return pooled
