"""Serve over HTTP until a signal comes: settings -> engine -> uvicorn."""

from __future__ import annotations

import asyncio
import logging
import math
import socket
import ssl
import time
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any

import uvicorn

from engine import Engine
from engine.memory import return_large_memory_at_once
from functions.app import create_app
from functions.background import in_background
from functions.descriptors import DESCRIPTORS, SHORTAGES
from functions.log_writer import LogWriter
from functions.model_options import ModelOptions
from functions.models import ModelRegistry, ModelState, ServedModel
from functions.observability import configure_logging, get_logger, greet, tell_start
from functions.settings import Settings
from functions.targets.connection_limits import ConnectionLimits
from functions.targets.greeting import request_to_try, url_of
from functions.targets.limited_protocol import LimitedProtocol
from functions.targets.listen import is_loopback_only, listen
from functions.targets.loading import load, open_configured_engine
from functions.targets.signals import StopSignals
from functions.targets.tls import tls_context
from functions.tracing import Tracing, open_tracing

KEEP_ALIVE_SECONDS = 120
"""How long an idle connection stays open: longer than load balancers (60 s) and clients (Go: 90 s)
keep theirs, as a request that is sent while the server closes is lost."""
_ANSWER_THREADS = 2
"""How many large answers are written or compressed at once, beside the event loop."""
_CLOSE_SECONDS = 1.0
"""How long a batch that runs, the last traces, or the last lines of the log may take after all
requests were answered."""
_RETRIED_ACCEPT = "._start_serving("
"""In the message of asyncio, which tries to accept again after the listener was closed."""
_LAST_LINES_SECONDS = 0.1
"""The same for the log where a second signal ends the process at once."""


class Server(uvicorn.Server):
    """Listens at once, loads meanwhile, and drains when the first signal comes.

    Draining: new requests are answered with 503, those in flight are finished, and the process
    ends when there are none, or after `shutdown_timeout_seconds`. A second signal ends it at once.
    Which signals: see `signals`.
    """

    def __init__(
        self,
        settings: Settings,
        registry: ModelRegistry,
        load: Callable[[], None],
        signals: StopSignals,
        tls: ssl.SSLContext | None = None,
        tracing: Tracing | None = None,
        *,
        is_local: bool = False,
    ) -> None:
        super().__init__(_uvicorn_config(settings, registry, tls, tracing, is_local=is_local))
        self._registry = registry
        self._load = load
        self._loading: Future[None] = Future()
        self._timeout_seconds = settings.shutdown_timeout_seconds
        self._signals = signals
        self._drain_until: float | None = None

    @property
    def failure(self) -> BaseException | None:
        """Why the model could not be loaded, if so."""
        return self._loading.exception() if self._loading.done() else None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, then load: by now signals are handled, so one of them may end the loading."""
        loop = asyncio.get_running_loop()
        loop.set_default_executor(
            ThreadPoolExecutor(_ANSWER_THREADS, thread_name_prefix="embellama-answer")
        )
        loop.set_exception_handler(self._handle_exception)
        await super().startup(sockets)
        for listener in sockets or []:
            host, port = listener.getsockname()[:2]
            tls = self.config.ssl is not None
            text = f"Listening on {url_of(host, port, tls=tls)}, loading the model"
            tell_start("listening", text, host=host, port=port, tls=tls)
        self._loading = in_background(self._load, name="embellama-load")

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Leave the handlers as they are, but from now on let requests in flight be finished."""
        self._signals.listening = True
        yield

    def _handle_exception(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Count what could not be accepted, for which asyncio wants a traceback each time."""
        if getattr(context.get("exception"), "errno", None) in SHORTAGES and "socket" in context:
            DESCRIPTORS.note_shortage()
        elif not (self._drain_until and _RETRIED_ACCEPT in context["message"]):
            loop.default_exception_handler(context)

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second: is it time to end?"""
        DESCRIPTORS.look()
        if self.failure is not None:
            return True
        for ignored in self._signals.pop_ignored():
            get_logger().info("signal ignored", signal=ignored.name)
        if self._signals.first is not None and self._drain_until is None:
            self._drain_until = time.monotonic() + self._timeout_seconds
            self._registry.drain()
            get_logger().info(
                "draining",
                signal=self._signals.first.name,
                in_flight=len(self.server_state.tasks),
            )
        if self._drain_until is not None and self._is_drained(self._drain_until):
            return True
        return await super().on_tick(counter)

    def _is_drained(self, until: float) -> bool:
        left = until - time.monotonic()
        self.config.timeout_graceful_shutdown = max(1, math.ceil(left))
        if not self.server_state.tasks:
            return True
        if left > 0:
            return False
        get_logger().warning("drain timed out", in_flight=len(self.server_state.tasks))
        # What still waits is answered with 503.
        in_background(self._registry.close, name="embellama-close")
        return True


def serve(settings: Settings, open_engine: Callable[[ModelOptions], Engine] | None = None) -> None:
    """Serve until a signal comes. Returns after a clean shutdown.

    Args:
        settings: all options.
        open_engine: how to open the engine of a model; by default from its path.

    Raises:
        ConfigurationError: the address can't be listened on, the TLS files can't be used, or an
            option can't be honoured.
        EmbellamaError: the model can't be loaded.
    """
    return_large_memory_at_once()
    log = LogWriter.to_stderr()
    signals = StopSignals(before_end=lambda: log.close(_LAST_LINES_SECONDS))
    configure_logging(settings.log_level, settings.log_format, log)
    logging.captureWarnings(capture=True)
    try:
        with signals.handled():
            _serve(settings, open_engine, signals)
    finally:
        logging.captureWarnings(capture=False)
        log.close(_CLOSE_SECONDS)


def _serve(
    settings: Settings, open_engine: Callable[[ModelOptions], Engine] | None, signals: StopSignals
) -> None:
    started = time.monotonic()
    tell_start("settings", **settings.redacted())
    tls = tls_context(settings.tls_cert, settings.tls_key)
    tracing = open_tracing(settings.otlp_endpoint)
    listeners = listen(settings.host, settings.port)
    options = settings.model_options()
    registry = ModelRegistry(
        [ServedModel(model.name, model.aliases, model.path) for model in options],
        in_tables=bool(settings.models),
    )
    opener = open_engine or partial(open_configured_engine, offline=settings.offline)

    host, port = listeners[0].getsockname()[:2]  # they may be closed when the model is ready

    def load_all() -> None:
        for model, wanted in zip(registry.models, options, strict=True):
            load(model, partial(opener, wanted), started)
            registry.check_names()
        first = registry.models[0]
        if first.state is ModelState.READY:
            url = url_of(host, port, tls=tls is not None)
            needs_key = bool(settings.api_key or settings.api_key_file)
            greet(f"Try: {request_to_try(url, first.name or '', needs_key=needs_key)}")

    is_local = is_loopback_only(listeners)
    server = Server(settings, registry, load_all, signals, tls, tracing, is_local=is_local)
    server.run(sockets=listeners)
    _end(registry.close, "a running batch was abandoned")
    if tracing is not None:
        _end(tracing.close, "the last traces could not be sent")
    if server.failure is not None:
        raise server.failure
    get_logger().info("stopped")


def _uvicorn_config(
    settings: Settings,
    registry: ModelRegistry,
    tls: ssl.SSLContext | None,
    tracing: Tracing | None,
    *,
    is_local: bool = False,
) -> uvicorn.Config:
    return uvicorn.Config(
        create_app(settings, registry, tracing=tracing, is_local=is_local),
        http=_http_protocol(settings),
        log_config=None,
        access_log=False,
        lifespan="off",
        proxy_headers=False,  # `trusted_proxy_hops` says whom to believe.
        server_header=False,
        ws="none",
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        ssl_context_factory=None if tls is None else lambda *_: tls,
    )


def _http_protocol(settings: Settings) -> type[asyncio.Protocol]:
    """A class with our options, as uvicorn gives it none but its own."""
    limits = ConnectionLimits(
        max_connections=settings.max_connections,
        max_inflight_body_bytes=settings.max_inflight_body_bytes,
        max_body_bytes=settings.max_body_bytes,
    )
    values = {
        "limits": limits,
        "head_timeout_seconds": settings.head_timeout_seconds,
        "min_body_bytes_per_second": settings.min_body_bytes_per_second,
        "body_grace_seconds": settings.body_grace_seconds,
    }
    return type(LimitedProtocol.__name__, (LimitedProtocol,), values)


def _end(close: Callable[[], None], otherwise: str) -> None:
    """Close something; what does not come to an end must not keep the process."""
    try:
        in_background(close, name="embellama-close").result(_CLOSE_SECONDS)
    except TimeoutError:
        get_logger().warning(otherwise)
