"""The models that are served: their names, their engines, and whether they can be used now."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from typing import Self

from engine import Engine
from engine.errors import (
    CertificateError,
    ConfigurationError,
    EmbellamaError,
    NotReadyError,
    ShuttingDownError,
)
from engine.sources.names import HUB_NAMES, hub_name_of
from engine.types import BatchReport
from functions.engine_slot import EngineSlot
from functions.errors import ModelNotFoundError, ReloadError
from functions.model_names import find_model, listed_names_of

RETRY_AFTER_SECONDS = 2.0
"""What a client is told to wait where nobody can know how long loading or a restart takes."""


class ModelState(StrEnum):
    """Where a model is in its life."""

    LOADING = "loading"
    READY = "ready"
    FAILED = "failed"
    FAILING = "failing"
    """Loaded, but its backend fails or hangs for now."""
    DRAINING = "draining"


class ServedModel:
    """One model. `name` is None until its manifest is read, unless the settings give one.

    `reason` says to clients why it can't be used, `detail` says more to whoever runs the server.

    `state` says where it is in its life, `current_state` whether it can be used now, too.

    `load` runs in any thread; it sets the engine before the state, so a reader that sees READY
    sees the engine.
    """

    def __init__(
        self, name: str | None, aliases: Sequence[str] = (), source: str | None = None
    ) -> None:
        self.name = name
        self.aliases = tuple(aliases)
        self._hub_name = hub_name_of(source)
        self.state = ModelState.LOADING
        self.reason = "The model is loading."
        self.detail: str | None = None
        self.created = int(time.time())
        self._reloading = threading.Lock()
        self._open_engine: Callable[[], Engine] | None = None
        self._slot = EngineSlot()
        self._observers: list[Callable[[BatchReport], None]] = []

    @property
    def engine(self) -> Engine:
        """The engine.

        Raises:
            NotReadyError: it is loading, or can't be used; says why.
        """
        return self._checked(self._slot.engine)

    @property
    def trouble(self) -> str | None:
        """Why it can't be used now, if so, in a sentence for clients."""
        return self.reason if self.state is not ModelState.READY else self.engine.trouble

    @property
    def current_state(self) -> ModelState:
        """The state, and where that is ready, whether its backend is sound."""
        if self.state is ModelState.READY and self.engine.trouble is not None:
            return ModelState.FAILING
        return self.state

    @contextmanager
    def use(self) -> Iterator[Engine]:
        """The engine, which a reload does not close as long as the block runs.

        Raises:
            NotReadyError: see `engine`.
        """
        with self._slot.use() as engine:
            yield self._checked(engine)

    def _checked(self, engine: Engine | None) -> Engine:
        if engine is None:
            raise NotReadyError(self.reason, retry_after_seconds=RETRY_AFTER_SECONDS)
        return engine

    def load(self, open_engine: Callable[[], Engine]) -> None:
        """Open the engine and be ready; or, where its vectors are not the certified ones, failed.

        Raises:
            EmbellamaError: it can't be opened at all.
        """
        self._open_engine = open_engine
        try:
            self.be_ready(open_engine())
        except CertificateError as exc:
            self.state = ModelState.FAILED
            self.reason = "The model is not served: its vectors are not the certified ones."
            self.detail = exc.message

    def be_ready(self, engine: Engine) -> None:
        """Serve with this engine from now on."""
        self.name = self.name or engine.manifest.name
        self.created = int(time.time())
        for observe in self._observers:
            engine.subscribe(observe)
        self._slot.put(engine)
        self.state = ModelState.READY

    def subscribe(self, observe: Callable[[BatchReport], None]) -> None:
        """Call this after every batch of any engine that serves this model, now and later.

        It is called on the engine's threads and must not raise. Call this before requests come.
        """
        self._observers.append(observe)
        engine = self._slot.engine
        if engine is not None:
            engine.subscribe(observe)

    def reload(self, *, allow_space_change: bool = False) -> None:
        """Open the engine anew beside the old one and take its place; blocks.

        The old engine finishes the requests that use it and is closed then. Where anything goes
        wrong, it stays.

        Raises:
            ReloadError: the new engine can't be opened, has another vector space, or a reload is
                under way.
        """
        if self._open_engine is None or not self._reloading.acquire(blocking=False):
            raise ReloadError("It is being loaded already, or was not loaded by this server.")
        try:
            self._swap(self._open_engine(), allow_space_change=allow_space_change)
        except ReloadError:
            raise
        except EmbellamaError as exc:
            raise ReloadError(exc.message) from exc
        finally:
            self._reloading.release()

    def _swap(self, engine: Engine, *, allow_space_change: bool) -> None:
        old = self._slot.engine
        if old is not None and old.space != engine.space and not allow_space_change:
            engine.close()
            raise ReloadError(
                f"Its vector space is {engine.space}, not {old.space}: vectors stored by "
                "clients could not be compared. Send allow_space_change=true if that is wanted."
            )
        self.be_ready(engine)

    @property
    def own_names(self) -> tuple[str, ...] | None:
        """Its manifest's name and the hub's, whatever the settings call it; None while it loads."""
        engine = self._slot.engine
        if engine is None:
            return None if self.state is ModelState.LOADING else ()
        manifest = engine.manifest
        hub_name = self._hub_name or HUB_NAMES.get(manifest.weights_sha256 or "")
        return (manifest.name,) if hub_name is None else (manifest.name, hub_name)

    def close(self) -> None:
        """Close the engine, if there is one."""
        self._slot.close()


class ModelRegistry:
    """All models of one process."""

    def __init__(self, models: Sequence[ServedModel], *, in_tables: bool = False) -> None:
        """`in_tables` says that the models and their names are from the tables of --models."""
        self.models = tuple(models)
        self._in_tables = in_tables
        self.draining = False

    @classmethod
    def of(cls, engine: Engine, name: str | None = None, *aliases: str) -> Self:
        """A registry of one model that is ready."""
        model = ServedModel(name, aliases)
        model.be_ready(engine)
        return cls([model])

    def get(self, name: str) -> ServedModel:
        """The model that this name means; see `functions.model_names`.

        Raises:
            ModelNotFoundError: there is none.
            NotReadyError: there may be one, but not all names are known yet.
        """
        found = find_model(self.models, name)
        if found is not None:
            return found
        for model in self.models:
            if model.name is None or model.own_names is None:
                raise NotReadyError(model.reason, retry_after_seconds=RETRY_AFTER_SECONDS)
        served = [listed for _, listed in self.listed()]
        raise ModelNotFoundError(
            name=name,
            served=served or [model.name or "" for model in self.models],
            in_tables=self._in_tables,
        )

    def listed(self) -> Iterator[tuple[ServedModel, str]]:
        """The models that can be used now, each under every name that is offered."""
        for model in self.models:
            if model.state is ModelState.READY:
                for name in listed_names_of(self.models, model):
                    yield model, name

    def check_names(self) -> None:
        """Return if every name that is known so far means one model.

        Raises:
            ConfigurationError: two models have the same name.
        """
        names = [name for model in self.models for name in (model.name, *model.aliases) if name]
        for name in names:
            if names.count(name) > 1:
                raise ConfigurationError(f"Two models have the name {name!r}; rename one of them.")

    def state(self) -> ModelState:
        """The state of the whole: ready only if every model is."""
        if self.draining:
            return ModelState.DRAINING
        states = {model.current_state for model in self.models}
        for state in (ModelState.FAILED, ModelState.LOADING, ModelState.FAILING):
            if state in states:
                return state
        return ModelState.READY

    def check_ready(self) -> None:
        """Return if every model can be used.

        Raises:
            ShuttingDownError: the process is about to end.
            NotReadyError: a model is loading or failed, or its backend fails or hangs; says why.
        """
        self.check_accepting()
        for model in self.models:
            if model.state is not ModelState.READY:
                raise NotReadyError(model.reason, retry_after_seconds=RETRY_AFTER_SECONDS)
            model.engine.check_available()

    def check_live(self) -> None:
        """Return unless only a new process helps.

        Raises:
            NotReadyError: a model has computed nothing for long, and never will.
        """
        for model in self.models:
            if model.state is ModelState.READY and model.engine.is_lost:
                raise NotReadyError(
                    "All that computes hangs, for so long that only a restart helps.",
                    retry_after_seconds=RETRY_AFTER_SECONDS,
                )

    def check_accepting(self) -> None:
        """Return if new work may start.

        Raises:
            ShuttingDownError: the process is about to end.
        """
        if self.draining:
            raise ShuttingDownError(
                "The server is shutting down.", retry_after_seconds=RETRY_AFTER_SECONDS
            )

    def drain(self) -> None:
        """Take no new work; what runs goes on."""
        self.draining = True

    def close(self) -> None:
        """Close every engine; blocks until running batches are done."""
        for model in self.models:
            model.close()
