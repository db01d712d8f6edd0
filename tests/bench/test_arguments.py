"""What the bench is asked for, and where it writes: the committed results are of whole runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench.__main__ import PARTIAL_RESULTS, RESULTS, parse, results_of

WHOLE = ["--long"]


@pytest.mark.parametrize("rounds", ["0", "-1", "1.5", "", "many"])
def test_without_a_round_there_is_nothing_to_measure(
    rounds: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as refused:
        parse([f"--rounds={rounds}"])
    assert refused.value.code == 2
    assert "is not a whole number from 1 on" in capsys.readouterr().err


@pytest.mark.parametrize("more", [[], ["--rounds", "5"], ["--rounds", "7"]])
def test_a_whole_run_replaces_what_is_committed(more: list[str]) -> None:
    assert RESULTS == results_of(parse([*WHOLE, *more]), done=True)
    assert Path(__file__).parent / "results" == RESULTS


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        [*WHOLE, "--quick"],
        [*WHOLE, "--only", "latency"],
        [*WHOLE, "--rounds", "4"],
        [*WHOLE, "--peers"],
        [*WHOLE, "--peers", "infinity"],
    ],
)
def test_a_part_of_a_run_leaves_the_committed_results_alone(arguments: list[str]) -> None:
    """Figures that are missing or of less time would take the place of measured ones."""
    assert PARTIAL_RESULTS == results_of(parse(arguments), done=True)


def test_a_run_that_was_interrupted_leaves_them_alone_too() -> None:
    assert PARTIAL_RESULTS == results_of(parse(WHOLE), done=False)


@pytest.mark.parametrize("arguments", [WHOLE, ["--quick"]])
def test_results_go_where_they_are_asked_for(arguments: list[str], tmp_path: Path) -> None:
    args = parse([*arguments, "--out", str(tmp_path)])
    assert [tmp_path, tmp_path] == [results_of(args, done=done) for done in (False, True)]


def test_help_says_where_results_go(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["--help"])
    found = " ".join(capsys.readouterr().out.split())
    assert "tests/bench/results for a whole run" in found
    assert "build/bench for any other" in found
