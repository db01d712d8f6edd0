"""What all tests share: a clean environment, and the default model, built once into a cache."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine import Engine
from engine.export.default_model import ensure_default_bundle
from engine.golden import GoldenSet
from tests.processes import let_children_have_default_signals
from tests.torch_golden import GOLDEN, read_torch_golden

ROOT = Path(__file__).resolve().parent.parent
_OF_WHOEVER_RUNS_THE_TESTS = ("AWS_", "EMBELLAMA_", "HF_", "HUGGING", "LAMBDA_", "OPENAI_")


def pytest_configure() -> None:
    """No test depends on the variables or signals of whoever runs it, nor does a module."""
    for name in list(os.environ):
        if name.upper().startswith(_OF_WHOEVER_RUNS_THE_TESTS) or name in ("HOST", "PORT"):
            del os.environ[name]
    let_children_have_default_signals()


@pytest.fixture(scope="session")
def default_bundle() -> Path:
    """Directory of the default model's bundle, as `embellama serve` makes it."""
    return ensure_default_bundle(ROOT / ".cache" / "tests")


@pytest.fixture(scope="session")
def default_engine(default_bundle: Path) -> Iterator[Engine]:
    """The default model, loaded."""
    with Engine.open(default_bundle) as engine:
        yield engine


@pytest.fixture(scope="session")
def torch_golden() -> GoldenSet:
    """What sentence-transformers on torch computed for the golden texts."""
    return read_torch_golden(GOLDEN / "all-MiniLM-L6-v2.json")
