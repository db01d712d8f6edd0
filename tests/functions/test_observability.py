from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from functions.observability import (
    RequestRecord,
    configure_logging,
    get_logger,
)
from functions.settings import LogFormat, LogLevel


@pytest.fixture(autouse=True)
def logs() -> Iterator[None]:
    """Instead of capturing events, put the process's logging back as it was."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = before
    structlog.reset_defaults()


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_json_has_one_object_a_line() -> None:
    stream = io.StringIO()
    configure_logging(LogLevel.INFO, LogFormat.JSON, stream)
    get_logger().info("hello", number=1)
    (line,) = stream.getvalue().splitlines()
    event = json.loads(line)
    assert event.pop("timestamp").endswith("Z")
    assert event == {"event": "hello", "level": "info", "number": 1}


def test_json_takes_what_is_no_valid_unicode() -> None:
    stream = io.StringIO()
    configure_logging(LogLevel.INFO, LogFormat.JSON, stream)
    get_logger().info("hello", path="/\ud800", count=2**70)
    event = json.loads(stream.getvalue())
    assert (event["path"], event["count"]) == ("/\ud800", 2**70)


def test_logs_follow_a_new_configuration() -> None:
    streams = [io.StringIO(), io.StringIO()]
    for stream in streams:
        configure_logging(LogLevel.INFO, LogFormat.JSON, stream)
        get_logger().info("hello")
    assert [len(stream.getvalue().splitlines()) for stream in streams] == [1, 1]


def test_a_traceback_stays_in_its_line() -> None:
    stream = io.StringIO()
    configure_logging(LogLevel.INFO, LogFormat.JSON, stream)
    get_logger().error("failed", exc_info=RuntimeError("why"))
    (line,) = stream.getvalue().splitlines()
    assert "RuntimeError: why" in json.loads(line)["exception"]


def test_libraries_write_to_the_same_stream_from_warnings_on() -> None:
    stream = io.StringIO()
    configure_logging(LogLevel.DEBUG, LogFormat.JSON, stream)
    logging.getLogger("uvicorn.error").info("chatter")
    logging.getLogger("uvicorn.error").error("trouble")
    (line,) = stream.getvalue().splitlines()
    event = json.loads(line)
    assert (event["event"], event["level"]) == ("trouble", "error")


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        (LogLevel.DEBUG, ["d", "i", "w", "e"]),
        (LogLevel.INFO, ["i", "w", "e"]),
        (LogLevel.WARNING, ["w", "e"]),
        (LogLevel.ERROR, ["e"]),
    ],
)
def test_the_level_is_the_least_severe_that_is_written(
    level: LogLevel, expected: list[str]
) -> None:
    stream = io.StringIO()
    configure_logging(level, LogFormat.JSON, stream)
    logger = get_logger()
    logger.debug("d")
    logger.info("i")
    logger.warning("w")
    logger.error("e")
    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == expected


@pytest.mark.parametrize(
    ("stream", "is_json"), [(io.StringIO(), True), (_Terminal(), False)], ids=["pipe", "terminal"]
)
def test_auto_is_console_on_a_terminal(stream: io.StringIO, is_json: bool) -> None:
    configure_logging(LogLevel.INFO, LogFormat.AUTO, stream)
    get_logger().info("hello")
    assert stream.getvalue().startswith("{") is is_json


def test_console_shows_a_traceback() -> None:
    stream = io.StringIO()
    configure_logging(LogLevel.INFO, LogFormat.CONSOLE, stream)
    get_logger().error("failed", exc_info=RuntimeError("why"))
    assert "RuntimeError: why" in stream.getvalue()


def test_a_user_is_kept_as_a_hash_that_tells_users_apart() -> None:
    hashes = []
    for user in ("alice", "alice", "bob", "\ud800"):
        record = RequestRecord("r")
        record.add_user(user)
        hashes.append(record.fields["user_hash"])
    assert hashes[0] == hashes[1]
    assert len(set(hashes)) == 3
    assert "alice" not in str(hashes)


def test_a_traceback_on_the_console_shows_no_local_variables() -> None:
    """Texts and keys are in local variables; rich, where it is installed, would print them."""
    stream = io.StringIO()
    configure_logging(LogLevel.INFO, LogFormat.CONSOLE, stream)

    def fail() -> None:
        secret = "S" + "ECRET"
        raise ValueError(len(secret))

    try:
        fail()
    except ValueError as exc:
        get_logger().error("request failed", exc_info=exc)
    assert "ValueError: 6" in stream.getvalue()
    assert "SECRET" not in stream.getvalue()
