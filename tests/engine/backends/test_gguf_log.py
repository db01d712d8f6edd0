from __future__ import annotations

import logging

import pytest

from engine.backends.gguf_log import LogTail


def test_the_log_keeps_warnings_and_errors_with_what_continues_them() -> None:
    log = LogTail()
    for level, text in [(2, "loading"), (5, "..."), (4, "bad: "), (5, "token\n"), (3, "odd\n")]:
        log.receive(level, text.encode(), None)
    assert log.cause() == "bad: token; odd"
    log.clear()
    assert log.cause() == "no cause was logged"


def test_log_lines_reach_the_logging_module_at_debug(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        LogTail().receive(4, b"out of luck\n", None)
    assert caplog.messages == ["llama.cpp: out of luck"]
