"""What the body of a request may hold, as the limits of the engine have it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from engine.config import EngineConfig

_CHARACTERS_A_TOKEN = 4
_LONGEST_CHARACTER_BYTES = 12
"""A pair of escaped surrogates, such as `\\ud83d\\ude00`."""
BYTES_A_TOKEN = _CHARACTERS_A_TOKEN * _LONGEST_CHARACTER_BYTES
_MEBIBYTE = 1024 * 1024
_IDS_A_TOKEN = 4
"""Token ids that may be sent for each token that is computed: inputs may be cut."""


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """The most that any of the served models takes; the model asked for may take less."""

    max_inputs: int
    max_token_ids: int

    @classmethod
    def of(cls, models: Iterable[EngineConfig]) -> Self:
        """The limits for these models, of which there is at least one."""
        configs = list(models)
        return cls(
            max_inputs=max(config.max_client_batch_size for config in configs),
            max_token_ids=_IDS_A_TOKEN * max(config.max_request_tokens for config in configs),
        )


def body_bytes_for(max_request_tokens: int) -> int:
    """Bytes that a body with so many tokens may have, rounded up to a whole MiB."""
    return -(-BYTES_A_TOKEN * max_request_tokens // _MEBIBYTE) * _MEBIBYTE
