"""A plain torch reference of Jina's BERT with symmetric ALiBi and a gated feed-forward (v2).

Written from the paper "Jina Embeddings 2: 8192-Token General-Purpose Text Embeddings for Long
Documents" and the model card of jinaai/jina-embeddings-v2-base-en, because transformers has no
class of its own for it. Submodules are named so that parameters carry the names of the published
checkpoint. Shapes below: B sequences, T tokens, H hidden size, N heads.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn


def alibi_slopes(heads: int) -> list[float]:
    """Return the slope of each head, after "Train Short, Test Long" (ALiBi), its appendix included.

    For n heads, a power of two, the slopes are 2^(-8/n), 2^(-16/n), ... Otherwise the power of two
    below is used, and the missing heads take every other slope of the series twice as long.
    """
    whole = 2 ** math.floor(math.log2(heads))
    slopes = [2 ** (-8 * (i + 1) / whole) for i in range(whole)]
    between = [2 ** (-4 * (2 * i + 1) / whole) for i in range(heads - whole)]
    return slopes + between


def attention_bias(heads: int, attention_mask: Tensor) -> Tensor:
    """Return B x N x T x T: minus slope times distance, and -inf where the key is padding."""
    position = torch.arange(attention_mask.shape[1])
    distance = (position[:, None] - position[None, :]).abs()
    alibi = -torch.tensor(alibi_slopes(heads))[:, None, None] * distance
    padding = torch.zeros(attention_mask.shape).masked_fill(attention_mask == 0, -torch.inf)
    return alibi[None] + padding[:, None, None, :]


class Embeddings(nn.Module):
    """Word and token-type embeddings, normalised; positions enter in the attention only."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        hidden = config["hidden_size"]
        self.word_embeddings = nn.Embedding(config["vocab_size"], hidden)
        self.token_type_embeddings = nn.Embedding(config["type_vocab_size"], hidden)
        self.LayerNorm = nn.LayerNorm(hidden, eps=config["layer_norm_eps"])

    def forward(self, input_ids: Tensor) -> Tensor:
        token_type = self.token_type_embeddings(torch.zeros_like(input_ids))
        return self.LayerNorm(self.word_embeddings(input_ids) + token_type)


class SelfAttention(nn.Module):
    """Multi-head attention without its output projection, B x T x H to B x T x H."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        hidden = config["hidden_size"]
        self.heads = config["num_attention_heads"]
        self.query = nn.Linear(hidden, hidden)
        self.key = nn.Linear(hidden, hidden)
        self.value = nn.Linear(hidden, hidden)

    def forward(self, hidden: Tensor, bias: Tensor) -> Tensor:
        query, key, value = (
            layer(hidden).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        scores = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1]) + bias
        return (scores.softmax(dim=-1) @ value).transpose(1, 2).flatten(2)


class AttentionOutput(nn.Module):
    """Project, add the residual, normalise."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        hidden = config["hidden_size"]
        self.dense = nn.Linear(hidden, hidden)
        self.LayerNorm = nn.LayerNorm(hidden, eps=config["layer_norm_eps"])

    def forward(self, attended: Tensor, residual: Tensor) -> Tensor:
        return self.LayerNorm(self.dense(attended) + residual)


class GatedMlp(nn.Module):
    """GEGLU: the first half of `gated_layers` goes through the exact (erf) GELU and is the gate."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        hidden, inner = config["hidden_size"], config["intermediate_size"]
        self.gated_layers = nn.Linear(hidden, 2 * inner, bias=False)
        self.wo = nn.Linear(inner, hidden)
        self.layernorm = nn.LayerNorm(hidden, eps=config["layer_norm_eps"])

    def forward(self, hidden: Tensor) -> Tensor:
        gate, up = self.gated_layers(hidden).chunk(2, dim=-1)
        return self.layernorm(self.wo(nn.functional.gelu(gate) * up) + hidden)


class Layer(nn.Module):
    """Attention and feed-forward, each normalised after its residual."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        self.attention = nn.ModuleDict(
            {"self": SelfAttention(config), "output": AttentionOutput(config)}
        )
        self.mlp = GatedMlp(config)

    def forward(self, hidden: Tensor, bias: Tensor) -> Tensor:
        attended = self.attention["self"](hidden, bias)
        return self.mlp(self.attention["output"](attended, hidden))


class JinaBert(nn.Module):
    """The encoder: token ids to hidden states. The pooler is in checkpoints but takes no part."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        self.heads = config["num_attention_heads"]
        self.embeddings = Embeddings(config)
        layers = nn.ModuleList(Layer(config) for _ in range(config["num_hidden_layers"]))
        self.encoder = nn.ModuleDict({"layer": layers})
        hidden = config["hidden_size"]
        self.pooler = nn.ModuleDict({"dense": nn.Linear(hidden, hidden)})

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return the last hidden states, B x T x H, of B x T ids with a mask of ones and zeros."""
        bias = attention_bias(self.heads, attention_mask)
        hidden = self.embeddings(input_ids)
        for layer in self.encoder["layer"]:
            hidden = layer(hidden, bias)
        return hidden
