from __future__ import annotations

import os
import pty
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from signal import SIGKILL

import httpx2
import pytest

from functions.targets.greeting import request_to_try, url_of
from tests.processes import end

SERVE = [sys.executable, "-m", "tests.functions.targets.serving", "free", "log_format=auto"]


@pytest.mark.parametrize(
    ("host", "tls", "url"),
    [
        ("127.0.0.1", False, "http://127.0.0.1:80"),
        ("0.0.0.0", True, "https://127.0.0.1:80"),  # noqa: S104
        ("::", False, "http://[::1]:80"),
        ("2001:db8::1", False, "http://[2001:db8::1]:80"),
    ],
)
def test_an_address_is_one_that_this_machine_can_ask(host: str, tls: bool, url: str) -> None:
    assert url_of(host, 80, tls=tls) == url


def test_the_command_is_safe_to_paste_and_has_a_place_for_a_key() -> None:
    command = request_to_try("http://x", "it's $(a) model", needs_key=True)
    assert shlex.split(command) == [
        "curl",
        "http://x/v1/embeddings",
        "-H",
        "content-type: application/json",
        "-H",
        "authorization: Bearer YOUR_KEY",
        "-d",
        '{"model": "it\'s $(a) model", "input": "Hello, world"}',
    ]


@contextmanager
def _on_a_terminal(*options: str) -> Iterator[Iterator[str]]:
    """The lines that a server writes to a terminal."""
    terminal, stderr = pty.openpty()
    with (
        open(terminal, encoding="utf-8") as lines,  # noqa: PTH123 - a descriptor
        subprocess.Popen(
            [*SERVE, *options], stderr=stderr, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        ) as process,
    ):
        os.close(stderr)
        try:
            yield (line.rstrip() for line in lines)
        finally:
            end(process, SIGKILL)


def test_a_person_sees_three_lines_of_which_the_last_can_be_run() -> None:
    with _on_a_terminal() as lines:
        listening, ready, to_try = (next(lines) for _ in range(3))
        words = shlex.split(to_try.removeprefix("Try: "))
        name, value = words[3].split(": ")
        answer = httpx2.post(words[1], headers={name: value}, content=words[5])
        fourth = next(lines)
    assert listening.startswith("Listening on http://127.0.0.1:")
    assert ready.startswith("Ready: fake-model, 8 dimensions, fake fp32 on cpu, after ")
    assert words[:2] == ["curl", f"{listening.split()[2].rstrip(',')}/v1/embeddings"]
    assert answer.status_code == 200
    assert "POST" in fourth


def test_the_settings_are_shown_at_debug() -> None:
    with _on_a_terminal("log_level=debug") as lines:
        assert any("settings" in next(lines) for _ in range(5))
