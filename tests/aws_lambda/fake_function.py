"""A function over the fake engine, for the emulator; `FAKE_DIMENSIONS` says how large."""

from __future__ import annotations

import os

from engine import Engine
from engine.config import EngineConfig
from engine.testing import fake_engine
from functions.aws.phases import Phases
from functions.aws.settings import LambdaSettings
from functions.aws.start import start


def _open(_: LambdaSettings, config: EngineConfig) -> Engine:
    dimensions = int(os.environ.get("FAKE_DIMENSIONS", "8"))
    return fake_engine(config=config, inline=True, dimensions=dimensions, max_input_tokens=64)


handler = start(Phases(), open_engine=_open)
