"""The values that travel through the engine: text -> Encoding -> Batch -> BackendOutput -> vectors.

Letters in shapes: B sequences, T tokens of one sequence, D dimensions, N inputs of one request.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.float32]
IntArray: TypeAlias = NDArray[np.int32]

TextInput: TypeAlias = str
TokenInput: TypeAlias = Sequence[int]
Inputs: TypeAlias = TextInput | Sequence[TextInput] | TokenInput | Sequence[TokenInput]
"""What `Engine.embed` takes: one text, several texts, one list of ids, several lists of ids."""


class Truncate(StrEnum):
    """What happens to an input with too many tokens."""

    NONE = "none"
    """Refuse it."""
    START = "start"
    """Drop tokens at the start, so the end of the text is kept."""
    END = "end"
    """Drop tokens at the end."""


class TokenIds(StrEnum):
    """What the token ids of a request are taken for."""

    MODEL = "model"
    """The model's own, if they are marked as such; other ids are refused."""
    CL100K_BASE = "cl100k_base"
    """Those of OpenAI's encoding of this name: they are decoded, and the text is embedded."""
    O200K_BASE = "o200k_base"
    """Likewise."""
    REFUSE = "refuse"


class Pooling(StrEnum):
    """How the token vectors of one sequence become one vector."""

    CLS = "cls"
    MEAN = "mean"
    LAST_TOKEN = "last_token"  # noqa: S105 - not a secret


@dataclass(frozen=True, slots=True, eq=False)
class Encoding:
    """One input, ready for a backend. Made by `engine.tokenizer` only.

    `input_ids` has the shape (T,) with 1 <= T <= the model's limit, special tokens included.
    """

    input_ids: IntArray
    truncated: bool

    @property
    def tokens(self) -> int:
        """T, the number of tokens that are computed and billed."""
        return int(self.input_ids.shape[0])


@dataclass(frozen=True, slots=True)
class Batch:
    """Sequences that one backend call computes together. Ragged: padding is the backend's.

    `alone` says that nothing else runs or waits, so the backend may use all cores for it.
    """

    encodings: tuple[Encoding, ...]
    alone: bool = False

    @property
    def tokens(self) -> int:
        """Number of tokens without padding."""
        return sum(encoding.tokens for encoding in self.encodings)


@dataclass(frozen=True, slots=True)
class BatchReport:
    """What one call of the backend computed, for whoever watches; also of a call that failed."""

    inputs: int
    tokens: int
    """Without padding."""
    seconds: float


@dataclass(frozen=True, slots=True, eq=False)
class BackendOutput:
    """What one backend call returns, in the order of its batch, before pooling.

    Exactly one of the two is set: `token_vectors`, one array (T, D) for each sequence, or
    `pooled` (B, D), where the runtime pools as the manifest says.
    """

    token_vectors: tuple[FloatArray, ...] | None = None
    pooled: FloatArray | None = None

    def __post_init__(self) -> None:
        if (self.token_vectors is None) == (self.pooled is None):
            raise ValueError("set either token_vectors or pooled")


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens that were computed, special tokens included, counted by the tokenizer."""

    prompt_tokens: int

    @property
    def total_tokens(self) -> int:
        """Same as `prompt_tokens`: an embedding generates nothing."""
        return self.prompt_tokens


@dataclass(frozen=True, slots=True)
class Timings:
    """Seconds that one request spent in each stage of the engine."""

    tokenize_seconds: float
    queue_seconds: float
    inference_seconds: float


@dataclass(frozen=True, slots=True, eq=False)
class EmbedResult:
    """Vectors (N, D') in the order of the inputs, float32, C-contiguous.

    D' is the full size or the asked-for `dimensions`. `truncated` lists the indices of inputs
    that were cut.
    """

    vectors: FloatArray
    usage: Usage
    truncated: tuple[int, ...]
    timings: Timings
