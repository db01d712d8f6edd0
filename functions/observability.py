"""Logs: one line an event, JSON or console, and what one request adds to its line."""

from __future__ import annotations

import hashlib
import json
import logging
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TextIO, cast

import orjson
import structlog
from starlette.types import Scope
from structlog.typing import EventDict, Processor

from engine.types import EmbedResult
from functions.log_writer import LogStream, LogWriter
from functions.settings import LogFormat, LogLevel

_RECORD_KEY = "embellama.record"
REFUSED = "embellama.refused"
"""Key of a scope whose request the target could not read: the error to answer it with."""
ROUTE_NAME = "embellama.route_name"
"""Key of a scope that was refused before any route was looked for: the path of its route."""
REQUEST_ID: ContextVar[str | None] = ContextVar("embellama.request_id", default=None)
"""Id of the request that is being answered; it is on every line of the log."""
_USER_HASH_DIGITS = 16
CLIENT_CLOSED_REQUEST = 499
"""What logs and metrics call an answer that was never sent because the client had gone."""


@dataclass(slots=True)
class Work:
    """What one request computed, for metrics and traces."""

    model: str
    inputs: int
    tokens: int
    truncated: int
    """How many of the inputs were cut."""
    started: float
    """When the engine got it, as `time.perf_counter` tells it."""
    stages: dict[str, float]
    """Seconds of each stage, in the order in which they ran."""


@dataclass(slots=True)
class RequestRecord:
    """What is known about one request; its log line. No text of an input ever comes here."""

    request_id: str
    started: float = field(default_factory=time.perf_counter)
    fields: dict[str, object] = field(default_factory=dict)
    work: Work | None = None
    headers: dict[str, str] = field(default_factory=dict)
    """Headers that the answer gets, whoever makes it."""

    def elapsed_ms(self) -> float:
        """Milliseconds since the request came."""
        return (time.perf_counter() - self.started) * 1000

    def add_user(self, user: str) -> None:
        """Keep a hash that tells users apart and names none."""
        digest = hashlib.sha256(user.encode("utf-8", "surrogatepass")).hexdigest()
        self.fields["user_hash"] = digest[:_USER_HASH_DIGITS]

    def add_result(self, result: EmbedResult, *, model: str, started: float) -> None:
        """Keep counts and the time of each stage; `started` is when the engine was called."""
        timings = result.timings
        tokens = result.usage.prompt_tokens
        stages = {
            "tokenize": timings.tokenize_seconds,
            "queue": timings.queue_seconds,
            "inference": timings.inference_seconds,
        }
        self.work = Work(model, len(result.vectors), tokens, len(result.truncated), started, stages)
        self.fields["tokens"] = tokens
        self.add_truncated(len(result.truncated))
        for stage, seconds in stages.items():
            self.fields[f"{stage}_ms"] = _milliseconds(seconds)

    def add_truncated(self, inputs: int) -> None:
        """Keep how many inputs were cut, if any were."""
        if inputs:
            self.fields["truncated"] = inputs

    @contextmanager
    def encoding(self) -> Iterator[None]:
        """Time how long it takes to write the answer."""
        started = time.perf_counter()
        yield
        seconds = time.perf_counter() - started
        self.fields["encode_ms"] = _milliseconds(seconds)
        if self.work is not None:
            self.work.stages["encode"] = seconds


def start_record(scope: Scope, request_id: str) -> RequestRecord:
    """Make the record of a request."""
    record = RequestRecord(request_id)
    scope[_RECORD_KEY] = record
    return record


def record_of(scope: Scope) -> RequestRecord:
    """The record of a request, which the outermost middleware made."""
    record = scope[_RECORD_KEY]
    if not isinstance(record, RequestRecord):
        raise TypeError("The scope has no request record.")
    return record


def route_of(scope: Scope) -> str | None:
    """The path of the route that answers or would have, as it was declared; None without one."""
    path: str | None = getattr(scope.get("route"), "path", None)
    return path or scope.get(ROUTE_NAME)


def is_probe(scope: Scope) -> bool:
    """Whether an orchestrator or a monitor asks, which they do every few seconds."""
    path: str = scope["path"]
    return path in ("/", "/metrics") or path.startswith("/health")


class _Logging:
    """What is in effect, and the logger, bound once for each configuration of structlog."""

    def __init__(self) -> None:
        self.level = LogLevel.INFO
        self.stream: LogStream = sys.stderr
        self.is_json = True
        self._bound: structlog.typing.FilteringBoundLogger | None = None
        self._bound_to: tuple[object, object] = (None, None)

    def logger(self) -> structlog.typing.FilteringBoundLogger:
        config = structlog.get_config()
        processors, wrapper = config["processors"], config["wrapper_class"]
        if (
            self._bound is None
            or self._bound_to[0] is not processors
            or self._bound_to[1] is not wrapper
        ):
            self._bound = structlog.get_logger().bind()
            self._bound_to = (processors, wrapper)
        return self._bound


_LOGGING = _Logging()


def get_logger() -> structlog.typing.FilteringBoundLogger:
    """The logger of this project."""
    return _LOGGING.logger()


def configure_logging(
    level: LogLevel, log_format: LogFormat, stream: LogStream | None = None
) -> None:
    """Send all logs of this process, and those of its libraries, to one stream (stderr).

    A server gives a `LogWriter`. Without one, a line is out when the call returns, as it must be
    where the process is frozen between requests.

    Our own lines are written without the standard library's `logging`, which takes longer than
    all else that is done for a line.
    """
    stream = stream or sys.stderr
    as_json = log_format is LogFormat.JSON or (log_format is LogFormat.AUTO and not stream.isatty())
    shared: list[Processor] = [
        _add_request_id,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info if as_json else _unchanged,
    ]
    renderer = _renderer(stream, as_json=as_json)
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    logging.basicConfig(handlers=[handler], force=True)
    processors = [*shared, renderer]
    structlog.configure(
        processors=processors,
        logger_factory=structlog.WriteLoggerFactory(cast("TextIO", stream)),
    )
    if isinstance(stream, LogWriter):
        stream.render_dropped = partial(_render_dropped, processors)
    _LOGGING.stream, _LOGGING.is_json = stream, as_json
    set_log_level(level)


def set_log_level(level: LogLevel) -> None:
    """Write lines from this level on; those of libraries from warnings on at most."""
    threshold = logging.getLevelNamesMapping()[level.value.upper()]
    logging.getLogger().setLevel(max(threshold, logging.WARNING))
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(threshold))
    _LOGGING.level = level


def log_level() -> LogLevel:
    """The level that is in effect."""
    return _LOGGING.level


def log_is_for_people() -> bool:
    """Whether lines are text on a console, and not JSON."""
    return not _LOGGING.is_json


def greet(text: str) -> None:
    """Write a bare line for the person who started this; nothing where the log is JSON."""
    if log_is_for_people() and _LOGGING.level in (LogLevel.DEBUG, LogLevel.INFO):
        _LOGGING.stream.write(f"{text}\n")
        _LOGGING.stream.flush()


def tell_start(event: str, text: str | None = None, /, **fields: object) -> None:
    """Log an event of the start; people get `text` instead of it, and the event at debug."""
    write = get_logger().debug if log_is_for_people() else get_logger().info
    write(event, **fields)
    if text is not None:
        greet(text)


def dropped_log_lines() -> int:
    """How many lines of the log could not be written."""
    stream = _LOGGING.stream
    return stream.dropped if isinstance(stream, LogWriter) else 0


def _render_dropped(processors: Sequence[Processor], lines: int) -> str:
    """The line that stands where others are missing, in the format of all."""
    event: Any = {"event": "log lines dropped", "lines": lines}
    for processor in processors:
        event = processor(None, "warning", event)
    return f"{event}\n"


def _renderer(stream: LogStream, *, as_json: bool) -> Processor:
    if as_json:
        return structlog.processors.JSONRenderer(serializer=_dump)
    return structlog.dev.ConsoleRenderer(
        colors=stream.isatty(),
        # Not the default, which shows local variables where rich is installed: texts and keys.
        exception_formatter=structlog.dev.plain_traceback,
    )


def _dump(event: EventDict, default: Callable[[object], object], **_: object) -> str:
    """Same as `json.dumps`, in a tenth of its time. Surrogates, which it refuses, are escaped."""
    try:
        return orjson.dumps(event, default=default, option=orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:
        return json.dumps(event, default=default)


def _add_request_id(_logger: object, _method: str, event: EventDict) -> EventDict:
    request_id = REQUEST_ID.get()
    if request_id is not None:
        event.setdefault("request_id", request_id)
    return event


def _unchanged(_logger: object, _method: str, event: EventDict) -> EventDict:
    return event


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 2)
