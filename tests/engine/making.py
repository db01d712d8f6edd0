"""Makers of small values that several tests of the engine need."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from threading import Event

import numpy as np
import tokenizers

from engine.pieces import Steps
from engine.testing import fake_tokenizer
from engine.tokenizer import Tokenizer
from engine.types import Batch, Encoding, TokenIds

PATIENCE_SECONDS = 20.0
"""How long a test waits for what must happen, before it fails."""


def encoding(*ids: int) -> Encoding:
    return Encoding(np.array(ids, dtype=np.int32), truncated=False)


def encodings_of(lengths: Iterable[int], *, first_id: int = 0) -> list[Encoding]:
    """One encoding a length; all ids of the n-th are `first_id` + n, so each can be told."""
    return [encoding(*[first_id + index] * length) for index, length in enumerate(lengths)]


def make_tokenizer(
    tokenizer: tokenizers.Tokenizer | None = None,
    *,
    max_input_tokens: int = 8,
    max_client_batch_size: int = 4,
    max_request_tokens: int = 1000,
    vocabulary_size: int = 16,
    prompts: Mapping[str, str] | None = None,
    token_ids: TokenIds = TokenIds.MODEL,
) -> Tokenizer:
    return Tokenizer(
        tokenizer or fake_tokenizer(),
        vocabulary_size=vocabulary_size,
        max_input_tokens=max_input_tokens,
        max_client_batch_size=max_client_batch_size,
        max_request_tokens=max_request_tokens,
        prompts=dict(prompts or {}),
        token_ids=token_ids,
    )


@dataclass
class Clock:
    """Stands still until a test sets it."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


class Gate:
    """A `before_run` that holds every run back until `open` is called, and counts arrivals."""

    def __init__(self) -> None:
        self.arrived = Event()
        self._opened = Event()
        self._lets_pass = False

    def __call__(self, _: Batch) -> None:
        self.arrived.set()
        if self._lets_pass:
            return
        assert self._opened.wait(PATIENCE_SECONDS), "the gate was never opened"

    def open(self) -> None:
        self._opened.set()

    def let_pass(self) -> None:
        """Hold back nothing that comes from now on, but still what has come before."""
        self._lets_pass = True

    def close(self) -> None:
        """Hold back what comes from now on."""
        self._opened.clear()
        self.arrived.clear()


class HeldSteps:
    """Work of one step that holds the thread that tokenizes until it is let go."""

    def __init__(self) -> None:
        self.arrived = Event()
        self.let_go = Event()

    def steps(self, characters: int = 1) -> Steps[str]:
        yield characters
        self.arrived.set()
        assert self.let_go.wait(PATIENCE_SECONDS), "the work was never let go"
        return "held"


def failing(error: BaseException) -> Callable[[Batch], None]:
    """A `before_run` that raises."""

    def fail(_: Batch) -> None:
        raise error

    return fail
