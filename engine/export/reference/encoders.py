"""The forward passes, one class an architecture. A new one is one row in `ENCODERS`."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np

from engine.errors import ExportError
from engine.export.gguf_file import GgufFile
from engine.export.reference.functions import gelu, silu
from engine.types import FloatArray, IntArray


class _Tensors(dict[str, FloatArray]):
    """All tensors of a file by name."""

    def __missing__(self, name: str) -> FloatArray:
        raise ExportError(f"The source has no tensor {name!r}.")


class BertEncoder:
    """BERT: learned positions, normalised after each residual, GELU (Devlin et al. 2018)."""

    def __init__(self, source: GgufFile) -> None:
        """Load all tensors as float32."""
        self._tensors = _Tensors((name, source.tensor(name)) for name in source.names)
        self._blocks = source.number("block_count")
        self._heads = source.number("attention.head_count")
        self._epsilon = source.real("attention.layer_norm_epsilon")

    def token_vectors(self, chunk: Sequence[IntArray]) -> list[FloatArray]:
        """Vectors (T, D) of the tokens of each sequence (T,)."""
        bounds = np.cumsum([0, *(ids.size for ids in chunk)]).tolist()
        positions = np.concatenate([np.arange(ids.size) for ids in chunk])
        hidden = self._embeddings(np.concatenate(chunk), positions)
        for index in range(self._blocks):
            block = f"blk.{index}"
            attended = self._attention(hidden, block, bounds, positions)
            projected = self._linear(attended, f"{block}.attn_output")
            hidden = self._norm(hidden + projected, f"{block}.attn_output_norm")
            fed = self._linear(self._inner(hidden, block), f"{block}.ffn_down")
            hidden = self._norm(hidden + fed, f"{block}.layer_output_norm")
        return np.split(hidden, bounds[1:-1])

    def _embeddings(self, ids: IntArray, positions: IntArray) -> FloatArray:
        """Token, type 0 and position, normalised, for the tokens of all sequences in a row."""
        tokens = self._tensors["token_embd.weight"][ids]
        if "token_types.weight" in self._tensors:
            tokens = tokens + self._tensors["token_types.weight"][0]
        return self._norm(self._place(tokens, positions), "token_embd_norm")

    def _place(self, tokens: FloatArray, positions: IntArray) -> FloatArray:
        placed: FloatArray = tokens + self._tensors["position_embd.weight"][positions]
        return placed

    def _rotate(self, values: FloatArray, positions: IntArray) -> FloatArray:  # noqa: ARG002 - see below
        """Queries or keys (N, T, D / N) as they depend on positions."""
        return values

    def _bias(self, tokens: int) -> FloatArray | float:  # noqa: ARG002 - see below
        """What is added to the scores (N, T, T) of a sequence."""
        return 0.0

    def _inner(self, hidden: FloatArray, block: str) -> FloatArray:
        return gelu(self._linear(hidden, f"{block}.ffn_up"))

    def _attention(
        self, hidden: FloatArray, block: str, bounds: Sequence[int], positions: IntArray
    ) -> FloatArray:
        """softmax(Q K^T / sqrt(head size)) V within each sequence (Vaswani et al. 2017)."""
        size = hidden.shape[1] // self._heads
        query, key, value = (
            part.reshape(-1, self._heads, size).swapaxes(0, 1)
            for part in self._query_key_value(hidden, block)
        )
        query, key = self._rotate(query, positions), self._rotate(key, positions)
        context = np.empty_like(query)
        for start, end in itertools.pairwise(bounds):
            scores = query[:, start:end] @ key[:, start:end].swapaxes(1, 2) / math.sqrt(size)
            scores = scores + self._bias(end - start)
            weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
            sums = weights.sum(axis=-1, keepdims=True, dtype=np.float64)
            context[:, start:end] = (weights / sums.astype(np.float32)) @ value[:, start:end]
        return context.swapaxes(0, 1).reshape(hidden.shape)

    def _query_key_value(self, hidden: FloatArray, block: str) -> list[FloatArray]:
        if f"{block}.attn_qkv.weight" in self._tensors:
            return np.split(self._linear(hidden, f"{block}.attn_qkv"), 3, axis=1)
        return [self._linear(hidden, f"{block}.{name}") for name in ("attn_q", "attn_k", "attn_v")]

    def _linear(self, values: FloatArray, name: str) -> FloatArray:
        product: FloatArray = values @ self._tensors[f"{name}.weight"].T
        bias = self._tensors.get(f"{name}.bias")
        return product if bias is None else product + bias

    def _norm(self, values: FloatArray, name: str) -> FloatArray:
        centred = values - values.mean(axis=-1, keepdims=True, dtype=np.float64)
        variance = (centred**2).mean(axis=-1, keepdims=True)
        scaled: FloatArray = (centred / np.sqrt(variance + self._epsilon)).astype(np.float32)
        return scaled * self._tensors[f"{name}.weight"] + self._tensors[f"{name}.bias"]


class NomicBertEncoder(BertEncoder):
    """Rotary positions and SwiGLU (Nussbaum et al. 2024)."""

    def __init__(self, source: GgufFile) -> None:
        """Load all tensors as float32."""
        super().__init__(source)
        self._base = source.real("rope.freq_base")

    def _place(self, tokens: FloatArray, positions: IntArray) -> FloatArray:  # noqa: ARG002 - rotated instead
        return tokens

    def _rotate(self, values: FloatArray, positions: IntArray) -> FloatArray:
        """Turn the pair (i, i + half) by position / base^(2i / size) (Su et al. 2021)."""
        half = values.shape[-1] // 2
        turn = np.exp(1j * positions[:, None] * self._base ** (-np.arange(half) / half))
        turned = (values[..., :half] + 1j * values[..., half:]) * turn
        return np.concatenate([turned.real, turned.imag], axis=-1).astype(np.float32)

    def _inner(self, hidden: FloatArray, block: str) -> FloatArray:
        gate = silu(self._linear(hidden, f"{block}.ffn_gate"))
        return gate * self._linear(hidden, f"{block}.ffn_up")


class JinaBertV2Encoder(BertEncoder):
    """Symmetric ALiBi and GEGLU (Günther et al. 2023)."""

    def _place(self, tokens: FloatArray, positions: IntArray) -> FloatArray:  # noqa: ARG002 - biased instead
        return tokens

    def _bias(self, tokens: int) -> FloatArray:
        """Minus slope x distance (Press et al. 2022).

        n heads, a power of two, have the slopes 2^(-8/n), 2^(-16/n) and so on. Of other numbers
        the first heads have those of the power below, the others every second of the power above.
        """
        whole = 2 ** (self._heads.bit_length() - 1)
        steps = np.arange(1, whole + 1) / whole
        between = np.arange(0.5, whole, 1.0)[: self._heads - whole] / whole
        slopes = 2.0 ** (-8 * np.concatenate([steps, between]))
        places = np.arange(tokens)
        distances = np.abs(np.subtract.outer(places, places))
        return (-slopes[:, None, None] * distances).astype(np.float32)

    def _inner(self, hidden: FloatArray, block: str) -> FloatArray:
        """One matrix holds the gate and, behind it, what is gated; or each has its own."""
        up = self._linear(hidden, f"{block}.ffn_up")
        if f"{block}.ffn_gate.weight" in self._tensors:
            return gelu(self._linear(hidden, f"{block}.ffn_gate")) * up
        gate, gated = np.split(up, 2, axis=1)
        return gelu(gate) * gated


ENCODERS: dict[str, type[BertEncoder]] = {
    "bert": BertEncoder,
    "nomic-bert": NomicBertEncoder,
    "jina-bert-v2": JinaBertV2Encoder,
}
"""By the architecture that a GGUF file names."""
