"""The wall clock jumps: by libfaketime, which shows a process another time than the machine's."""

from __future__ import annotations

import ast
import email.utils
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from engine.golden import GoldenText
from tests.faults import served
from tests.faults.clients import Load, ask, code_of
from tests.infra.served import Served
from tests.infra.tools import ROOT, until
from tests.soak.tally import Tally

LIMIT = 5
WALL_CLOCK = {"time.time", "time.time_ns", "datetime.now", "dt.datetime.now", "datetime.utcnow"}
ALLOWED = {
    "engine/export/certificate.py": "the date in a certificate",
    "functions/aws/phases.py": "how old a Lambda environment is, against the platform's own time",
    "functions/models.py": "`created` in /v1/models",
    "functions/tracing.py": "the start of a span, which other machines read",
}


@pytest.fixture(scope="module")
def golden() -> list[GoldenText]:
    return served.golden()


class Clock:
    """What a server takes for the time of day."""

    def __init__(self, library: Path, file: Path) -> None:
        self._file = file
        self.jump("+0")
        self.environment = {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def jump(self, offset: str) -> None:
        """Be ahead of the machine's clock by so much from now on; `-` is behind."""
        self._file.write_text(f"{offset}\n")


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    if not found:
        pytest.skip("not checked: a clock that jumps, as faketime is not installed")
    return Clock(found[0], tmp_path / "time")


@pytest.fixture
def jumps(clock: Clock) -> Iterator[str]:
    """Far ahead, far behind, and back."""
    return iter(("+2d", "-2d", "+0"))


def _day(server: Served) -> int:
    """The day of the server's clock, from the header `date`."""
    date = httpx2.get(f"{server.url}/health/live").headers["date"]
    return email.utils.parsedate_to_datetime(date).day


def test_a_jump_changes_no_answer_and_no_deadline(
    clock: Clock, jumps: Iterator[str], fault: Path, golden: list[GoldenText], tally: Tally
) -> None:
    """Requests under way go on, and one whose time is short is still told so in that time."""
    with served.started(fault, clock.environment) as server:
        for offset in jumps:
            day = _day(server)
            with Load(server.url, served.MODEL, golden, tally) as load:
                until(lambda load=load: load.count("right") > 20, "nobody is answered")  # type: ignore[misc]
                clock.jump(offset)
                until(lambda day=day: _day(server) != day, "the clock does not jump")  # type: ignore[misc]
                right = load.count("right")
                until(lambda load=load, right=right: load.count("right") > right + 20, "no answer")  # type: ignore[misc]
                load.end()
                assert (load.count("failed"), load.count("refused")) == (0, 0)
            fault.write_text("hangs")
            answer = ask(server.url, served.MODEL, golden[:1], tally, timeout_ms=200)
            assert code_of(answer) == (504, "deadline_exceeded")
            fault.write_text("")


def test_a_pause_of_the_backend_is_as_long_as_without_a_jump(
    clock: Clock, jumps: Iterator[str], fault: Path, golden: list[GoldenText], tally: Tally
) -> None:
    """A clock that goes back by days must not keep the server away for days."""
    with served.started(
        fault, clock.environment, breaker_failures=1, breaker_pause_seconds=0.5
    ) as server:
        for offset in jumps:
            fault.write_text("raises")
            assert ask(server.url, served.MODEL, golden[:1], tally).status_code == 500
            clock.jump(offset)
            fault.write_text("")
            until(server.is_ready, "the pause does not end", seconds=20)
            assert ask(server.url, served.MODEL, golden[:1], tally).status_code == 200


def test_a_jump_gives_a_client_one_more_minute_s_worth_at_most_and_locks_nobody_out(
    clock: Clock, jumps: Iterator[str], fault: Path, golden: list[GoldenText], tally: Tally
) -> None:
    """Rate limits are the one thing that counts by the time of day, as Redis shares them so."""
    with served.started(fault, clock.environment, requests_per_minute=LIMIT) as server:
        for offset in ("+0", *jumps):
            clock.jump(offset)
            statuses = [
                ask(server.url, served.MODEL, golden[:1], tally).status_code
                for _ in range(3 * LIMIT)
            ]
            assert statuses.count(200) <= 2 * LIMIT  # twice: a minute may turn meanwhile
            assert set(statuses) <= {200, 429}
            if offset in ("+2d", "-2d"):
                assert statuses[0] == 200


def test_nothing_else_looks_at_the_time_of_day() -> None:
    """Waits, deadlines and pauses are measured on clocks that never jump."""
    found = {
        str(path.relative_to(ROOT))
        for package in ("engine", "functions")
        for path in (ROOT / package).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in WALL_CLOCK
    }
    assert found == set(ALLOWED)
