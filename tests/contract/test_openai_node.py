"""The official Node client against a real socket."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.engine import Engine
from engine.testing import fake_engine
from engine.types import Inputs
from tests.contract.environments import node_environment
from tests.functions.targets.serving import ServerProcess

SOURCE = Path(__file__).parent / "node"


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """The same model in this process: what the answers must hold."""
    with fake_engine() as opened:
        yield opened


@pytest.fixture(scope="module")
def answers(server: ServerProcess) -> dict[str, Any]:
    """What the client got."""
    environment = node_environment(SOURCE)
    shutil.copy(SOURCE / "embed.mjs", environment)
    command = ["node", "embed.mjs", server.url]
    result = subprocess.run(command, cwd=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    return found


@pytest.mark.parametrize(
    ("name", "inputs"),
    [
        ("text", "the cat"),
        ("texts", ["the cat", "a dog sat"]),
        ("ids", [2, 5, 6, 7, 3]),
        ("lists", [[2, 5, 6, 3], [2, 7, 3]]),
    ],
)
def test_every_form_of_input(
    name: str, inputs: Inputs, answers: dict[str, Any], engine: Engine
) -> None:
    expected = engine.embed(inputs)
    assert np.array_equal(np.array(answers[name]["vectors"], np.float32), expected.vectors)
    tokens = expected.usage.prompt_tokens
    assert answers[name]["usage"] == {"prompt_tokens": tokens, "total_tokens": tokens}


def test_float_and_base64_are_the_same_vectors(answers: dict[str, Any]) -> None:
    """The client asks for base64 unless it is told otherwise."""
    decoded, floats = (np.array(answers[name]["vectors"], "<f4") for name in ("text", "float"))
    assert np.array_equal(decoded, floats)


def test_extensions_go_through(answers: dict[str, Any]) -> None:
    assert answers["truncated"]["usage"]["prompt_tokens"] == 32


def test_models(answers: dict[str, Any]) -> None:
    assert answers["models"] == ["fake-model"]


@pytest.mark.parametrize(
    ("name", "kind", "status", "code", "param"),
    [
        ("empty", "BadRequestError", 400, None, "input"),
        ("long", "BadRequestError", 400, "context_length_exceeded", "input[1]"),
        ("unknown", "NotFoundError", 404, "model_not_found", "model"),
        ("space", "ConflictError", 409, "space_mismatch", None),
    ],
)
def test_refusals_are_the_clients_own_errors(
    name: str,
    kind: str,
    status: int,
    code: str | None,
    param: str | None,
    answers: dict[str, Any],
) -> None:
    assert answers[name] == {
        "kind": kind,
        "status": status,
        "code": code,
        "param": param,
        "type": "invalid_request_error",
        "has_id": True,
    }
