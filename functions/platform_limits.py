"""The seam to the platform that carries the answers: what it can't carry is refused in advance."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from starlette.types import Scope

from engine import Engine
from functions.encoding import EncodingFormat

Admit: TypeAlias = Callable[[int], Awaitable[None]]
"""Awaited with the tokens of a request before they are computed; raises to refuse it."""


@dataclass(frozen=True, slots=True)
class WantedAnswer:
    """What decides the size of an answer: N inputs, D' dimensions, and how they are written."""

    inputs: int
    dimensions: int
    encoding_format: EncodingFormat


class PlatformLimits(Protocol):
    """What a target knows of the platform in front of it."""

    def check_answer(self, scope: Scope, wanted: WantedAnswer) -> None:
        """Return if the platform can carry an answer of this size.

        Raises:
            ResponseTooLargeError: it can't; the message has the largest batch that fits.
        """
        ...

    def admission(self, scope: Scope, inputs: int, then: Admit | None) -> Admit | None:
        """What the engine awaits before it computes: is there time for it? `then` comes after.

        The result raises DeadlineTooNearError if there is not.
        """
        ...

    def describe(self, scope: Scope, engine: Engine) -> dict[str, object]:
        """The limits, for GET /v1/models; empty where there are none."""
        ...


class NoPlatformLimits:
    """A server of its own: it carries any answer, and its middleware minds the time."""

    def check_answer(self, scope: Scope, wanted: WantedAnswer) -> None:
        """Any answer will do."""

    def admission(self, scope: Scope, inputs: int, then: Admit | None) -> Admit | None:  # noqa: ARG002
        """Nothing to ask."""
        return then

    def describe(self, scope: Scope, engine: Engine) -> dict[str, object]:  # noqa: ARG002
        """Nothing to tell."""
        return {}
