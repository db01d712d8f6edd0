"""What all tests share: the default model's bundle, built once into a cache of the tests' own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine import Engine
from engine.export.default_model import ensure_default_bundle
from engine.golden import GoldenSet
from tests.torch_golden import GOLDEN, read_torch_golden

ROOT = Path(__file__).resolve().parent.parent


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
