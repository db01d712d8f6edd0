from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog
from starlette.testclient import TestClient

from engine.engine import Engine
from engine.testing import fake_engine
from functions.app import create_app
from functions.settings import Settings


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[structlog.typing.EventDict]]:
    """What was logged in this test, at every level, whatever a server in this process has set."""
    structlog.reset_defaults()
    with structlog.testing.capture_logs() as captured:
        yield captured


@pytest.fixture
def engine() -> Iterator[Engine]:
    with fake_engine(
        matryoshka_dimensions=(4, 2), prompts={"query": "the cat "}, max_input_tokens=16
    ) as opened:
        yield opened


@pytest.fixture
def client(engine: Engine) -> TestClient:
    return TestClient(create_app(Settings(), engine))
