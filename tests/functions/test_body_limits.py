from __future__ import annotations

import pytest

from engine.config import EngineConfig
from functions.body_limits import BYTES_A_TOKEN, BodyLimits, body_bytes_for

MIB = 1024 * 1024


def test_the_limits_are_those_of_the_model_that_takes_most() -> None:
    small = EngineConfig(max_client_batch_size=16, max_request_tokens=300_000)
    large = EngineConfig(max_client_batch_size=32, max_request_tokens=1000)
    assert BodyLimits.of([small, large]) == BodyLimits(max_inputs=32, max_token_ids=1_200_000)


@pytest.mark.parametrize("tokens", [1, 512, 21_845, 21_846, 300_000, 10_000_000])
def test_a_body_has_room_for_its_tokens(tokens: int) -> None:
    size = body_bytes_for(tokens)
    assert size % MIB == 0
    assert size - MIB < BYTES_A_TOKEN * tokens <= size


def test_the_longest_form_of_a_character_is_counted() -> None:
    assert BYTES_A_TOKEN == 4 * len("\\ud83d\\ude00")
