from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
import structlog
from starlette.types import ASGIApp

from engine import Engine
from engine.testing import fake_engine
from functions.app import create_app
from functions.aws.handler import LambdaHandler
from functions.aws.limits import LambdaLimits
from functions.aws.speed import Speed
from functions.settings import Settings


@dataclass
class Context:
    """The second argument of a handler."""

    remaining_milliseconds: int = 60_000
    aws_request_id: str = "11111111-2222-3333-4444-555555555555"

    def get_remaining_time_in_millis(self) -> int:
        return self.remaining_milliseconds


MakeHandler = Callable[..., LambdaHandler]


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """Starting a function configures the logs of the process."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()


@pytest.fixture
def speed() -> Speed:
    return Speed(threads=1, max_batch_tokens=4096)


@pytest.fixture
def engine() -> Iterator[Engine]:
    with fake_engine(inline=True, matryoshka_dimensions=(4, 2)) as opened:
        yield opened


@pytest.fixture
def make_handler(engine: Engine, speed: Speed) -> Iterator[MakeHandler]:
    """Makes handlers of the fake engine, and closes the event loops that they leave."""

    made: list[LambdaHandler] = []

    def make(
        opened: Engine | None = None,
        app: ASGIApp | None = None,
        settings: Settings | None = None,
        base_path: str | None = None,
        before_request: Callable[[], None] | None = None,
    ) -> LambdaHandler:
        app = app or create_app(settings or Settings(), opened or engine, LambdaLimits(speed))
        made.append(LambdaHandler(app, base_path=base_path, before_request=before_request))
        return made[-1]

    yield make
    for handler in made:
        handler.close()


@pytest.fixture
def handler(make_handler: MakeHandler) -> LambdaHandler:
    return make_handler()
