"""Holds the engine that is in use, and lets it be replaced under running requests."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from engine import Engine


@dataclass(slots=True, eq=False)
class _Loaded:
    """An engine and how many requests use it."""

    engine: Engine
    users: int = 0
    is_retired: bool = False
    is_closing: bool = False


class EngineSlot:
    """At most one engine. One that was replaced is closed when its last request has ended."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loaded: _Loaded | None = None

    @property
    def engine(self) -> Engine | None:
        """The engine, if there is one."""
        loaded = self._loaded
        return None if loaded is None else loaded.engine

    @contextmanager
    def use(self) -> Iterator[Engine | None]:
        """The engine, if there is one, which is not closed as long as the block runs."""
        with self._lock:
            loaded = self._loaded
            if loaded is not None:
                loaded.users += 1
        if loaded is None:
            yield None
            return
        try:
            yield loaded.engine
        finally:
            with self._lock:
                loaded.users -= 1
            self._close_if_unused(loaded)

    def put(self, engine: Engine) -> None:
        """Use this engine from now on."""
        with self._lock:
            old, self._loaded = self._loaded, _Loaded(engine)
            if old is not None:
                old.is_retired = True
        if old is not None:
            self._close_if_unused(old)

    def close(self) -> None:
        """Close the engine, if there is one."""
        if self._loaded is not None:
            self._loaded.engine.close()

    def _close_if_unused(self, loaded: _Loaded) -> None:
        with self._lock:
            if not loaded.is_retired or loaded.users or loaded.is_closing:
                return
            loaded.is_closing = True
        # In a thread: closing waits for a batch whose request was cancelled.
        threading.Thread(target=loaded.engine.close, name="embellama-close", daemon=True).start()
