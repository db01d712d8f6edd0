"""A backend that raises, gives NaN, hangs or is slow, behind the real server."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest

from engine.golden import GoldenText
from tests.faults import served
from tests.faults.clients import Load, ask, code_of
from tests.infra.served import Served
from tests.infra.tools import until
from tests.soak.tally import Tally

FAILURES = 3
PAUSE_SECONDS = 0.5
HUNG_SECONDS = 0.3


@pytest.fixture(scope="module")
def golden() -> list[GoldenText]:
    return served.golden()


@pytest.fixture
def server(fault: Path) -> Iterator[Served]:
    """Does nothing wrong yet."""
    with served.started(
        fault, breaker_failures=FAILURES, breaker_pause_seconds=PAUSE_SECONDS
    ) as running:
        yield running


def _is_right_again(server: Served, golden: list[GoldenText], tally: Tally) -> None:
    right = tally.outcomes["right"]
    assert ask(server.url, served.MODEL, golden, tally).status_code == 200
    assert tally.outcomes["right"] == right + 1


def _probe(server: Served, which: str) -> int:
    return httpx2.get(f"{server.url}/health/{which}").status_code


def test_one_that_raises_is_told_without_details_then_left_alone_and_comes_back(
    server: Served, fault: Path, golden: list[GoldenText], tally: Tally
) -> None:
    """500 for those that it fails; then 503 until a run succeeds, without one request's help."""
    fault.write_text("raises")
    for _ in range(FAILURES):
        answer = ask(server.url, served.MODEL, golden[:1], tally)
        assert code_of(answer) == (500, "internal_error")
        assert "told to raise" not in answer.text
    answer = ask(server.url, served.MODEL, golden[:1], tally)
    assert code_of(answer) == (503, "not_ready")
    assert int(answer.headers["retry-after"]) >= 1
    assert (_probe(server, "ready"), _probe(server, "live")) == (503, 200)

    fault.write_text("")
    until(server.is_ready, "the backend is not tried again")
    _is_right_again(server, golden, tally)


def test_nan_fails_the_input_that_has_it_and_no_other(
    server: Served, fault: Path, golden: list[GoldenText], tally: Tally
) -> None:
    """Also not those that were in the same batch, and none gets a number that is none."""
    others = [row for row in golden if "dog" not in row.text]
    poisoned = next(row for row in golden if "dog" in row.text)
    fault.write_text("nan dog")
    with Load(server.url, served.MODEL, others, tally) as load:
        until(lambda: load.count("right") > 20, "nobody is answered")
        for _ in range(20):
            answer = ask(server.url, served.MODEL, [others[0], poisoned], tally)
            assert code_of(answer) == (500, "internal_error")
            assert answer.json()["error"]["param"] == "input[1]"
            assert "nan" not in answer.text.lower()
        assert load.count("failed") == 20  # those, and none of the others'

    fault.write_text("")
    _is_right_again(server, golden, tally)


def test_one_that_hangs_costs_each_client_its_own_deadline_and_no_more(
    server: Served, fault: Path, golden: list[GoldenText], tally: Tally
) -> None:
    fault.write_text("hangs")
    with ThreadPoolExecutor(4) as pool:
        answers = pool.map(
            lambda row: ask(server.url, served.MODEL, [row], tally, timeout_ms=300), golden[:4]
        )
        assert {code_of(answer) for answer in answers} == {(504, "deadline_exceeded")}
    assert _probe(server, "live") == 200

    fault.write_text("")
    _is_right_again(server, golden, tally)


def test_one_that_hangs_is_noticed_and_comes_back(
    fault: Path, golden: list[GoldenText], tally: Tally
) -> None:
    """504 for whom it hangs; then the server is not ready, and 503 at once, until it comes back."""
    with served.started(fault, hung_run_seconds=HUNG_SECONDS) as server:
        fault.write_text("hangs")
        answer = ask(server.url, served.MODEL, golden[:1], tally, timeout_ms=100)
        assert code_of(answer) == (504, "deadline_exceeded")
        until(lambda: _probe(server, "ready") == 503, "nobody notices that it hangs")
        report = httpx2.get(f"{server.url}/health").json()
        assert report["status"] == "failing"
        assert report["models"][0]["reason"].startswith("A run of the model hangs")
        assert _has_metric(server, f'embellama_hung_runs{{model="{served.MODEL}"}} 1.0')
        assert _has_metric(server, "embellama_ready 0.0")
        for _ in range(3):  # by no deadline
            answer = ask(server.url, served.MODEL, golden[:1], tally)
            assert code_of(answer) == (503, "not_ready")
            assert int(answer.headers["retry-after"]) >= 1

        until(lambda: _probe(server, "live") == 503, "nobody is told that it needs a restart")
        fault.write_text("")
        until(server.is_ready, "it does not come back")
        assert _probe(server, "live") == 200
        _is_right_again(server, golden, tally)
        with Load(server.url, served.MODEL, golden, tally, timeout_ms=400) as load:
            until(lambda: load.count("right") > 100, "it is slow after the hang")
        assert load.count("refused") == 0


def test_one_that_hangs_in_one_thread_of_two_serves_with_the_other(
    fault: Path, golden: list[GoldenText], tally: Tally
) -> None:
    """It asks balancers to send no more, but whoever comes is answered, and it stays live."""
    with served.started(fault, hung_run_seconds=HUNG_SECONDS, threads=2) as server:
        fault.write_text("hangs once")
        answer = ask(server.url, served.MODEL, golden[:1], tally, timeout_ms=100)
        assert code_of(answer) == (504, "deadline_exceeded")
        until(lambda: _probe(server, "ready") == 503, "nobody notices that it hangs")
        with Load(server.url, served.MODEL, golden, tally) as load:
            until(lambda: load.count("right") > 100, "nobody is answered")
        assert (load.count("refused"), load.count("failed")) == (0, 0)
        assert _probe(server, "live") == 200

        fault.write_text("")
        until(server.is_ready, "it does not come back")


def test_a_reload_puts_another_in_the_place_of_one_that_hangs(
    fault: Path, golden: list[GoldenText], tally: Tally
) -> None:
    """Without a restart; whoever waits for the old one has a deadline."""
    with served.started(fault, hung_run_seconds=HUNG_SECONDS, admin_key="operator") as server:
        fault.write_text("hangs once")
        answer = ask(server.url, served.MODEL, golden[:1], tally, timeout_ms=100)
        assert code_of(answer) == (504, "deadline_exceeded")
        until(lambda: _probe(server, "ready") == 503, "nobody notices that it hangs")
        reloaded = httpx2.post(
            f"{server.url}/admin/models/{served.MODEL}/reload",
            headers={"authorization": "Bearer operator"},
            timeout=30,
        )
        assert reloaded.status_code == 200
        assert _probe(server, "ready") == 200
        _is_right_again(server, golden, tally)


def test_one_that_hangs_does_not_keep_the_process_from_ending(
    fault: Path, golden: list[GoldenText], tally: Tally
) -> None:
    """Whoever waits for it is told to come again when the drain's time is up."""
    with served.started(fault, shutdown_timeout_seconds=0.5) as server:
        fault.write_text("hangs")
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(ask, server.url, served.MODEL, golden[:1], tally)
            until(lambda: _running(server), "the backend runs nothing")
            server.process.send_signal(signal.SIGTERM)
            assert code_of(waiting.result()) == (503, "shutting_down")
        assert server.process.wait(30) == 0


def _running(server: Served) -> bool:
    return _has_metric(server, f'embellama_running_batches{{model="{served.MODEL}"}} 1.0')


def _has_metric(server: Served, line: str) -> bool:
    return line in httpx2.get(f"{server.url}/metrics").text.splitlines()


def test_one_that_is_slow_refuses_early_what_it_can_not_do_in_time(
    fault: Path, golden: list[GoldenText], tally: Tally
) -> None:
    """Twenty clients that want an answer in 400 ms, at 50 ms a run: right, or told to wait."""
    with served.started(fault, max_batch_tokens=4) as server:
        fault.write_text("slow")
        with Load(server.url, served.MODEL, golden, tally, timeout_ms=400, clients=20) as load:
            until(lambda: load.count("right") > 20, "nobody is answered")
            until(lambda: load.count("refused") > 20, "nobody is refused")
            assert _probe(server, "ready") == 200
        assert (load.count("failed"), load.count("unanswered")) == (0, 0)
        fault.write_text("")
        _is_right_again(server, golden, tally)
        with Load(server.url, served.MODEL, golden, tally, timeout_ms=400) as load:
            until(lambda: load.count("right") > 100, "it is still slow")
        assert load.count("refused") == 0
