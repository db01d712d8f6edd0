"""litellm against a real socket. It wants other versions than ours, so it gets an environment."""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.testing import fake_engine
from tests.contract.environments import python_environment
from tests.functions.targets.serving import ServerProcess


@pytest.fixture(scope="module")
def answers(server: ServerProcess) -> dict[str, Any]:
    """What the client got."""
    python = python_environment("litellm")
    script = Path(__file__).parent / "litellm_embed.py"
    command = [str(python), "-I", str(script), server.url]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize(
    ("name", "inputs"), [("text", ["the cat"]), ("texts", ["the cat", "a dog sat"])]
)
def test_texts_are_embedded(name: str, inputs: list[str], answers: dict[str, Any]) -> None:
    with fake_engine() as engine:
        expected = engine.embed(inputs)
    assert np.array_equal(np.array(answers[name]["vectors"], np.float32), expected.vectors)
    assert answers[name]["tokens"] == expected.usage.prompt_tokens


def test_base64_is_passed_on(answers: dict[str, Any]) -> None:
    decoded = np.frombuffer(base64.b64decode(answers["base64"]["vectors"][0]), "<f4")
    assert np.array_equal(decoded, np.array(answers["text"]["vectors"][0], np.float32))


def test_a_refusal_is_the_clients_own_error(answers: dict[str, Any]) -> None:
    assert answers["long"]["kind"] in ("BadRequestError", "ContextWindowExceededError")
    assert "input has 102 tokens, but this model takes at most 32." in answers["long"]["message"]
