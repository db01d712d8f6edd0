"""The shared engine: texts in, vectors out. No HTTP, no environment, no cloud."""

from engine.config import EngineConfig
from engine.engine import Engine
from engine.errors import EmbellamaError
from engine.types import EmbedResult, Truncate

__all__ = ["EmbedResult", "EmbellamaError", "Engine", "EngineConfig", "Truncate"]
