from __future__ import annotations

import contextlib
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from functions.cli import COMMANDS, main
from functions.version import version


@pytest.mark.parametrize("arguments", [[], ["--help"]])
def test_help_lists_every_command(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with contextlib.suppress(SystemExit):
        main(arguments)
    out = capsys.readouterr().out
    for name, command in COMMANDS.items():
        assert f"{name} " in out
        assert command.help in out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"embellama {version()}\n"


def test_an_unknown_command_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["serv"])
    assert caught.value.code == 2
    assert "serve" in capsys.readouterr().err


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_arguments_and_help(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert callable(importlib.import_module(COMMANDS[name].module).run)
    with pytest.raises(SystemExit) as caught:
        main([name, "--help"])
    assert caught.value.code == 0
    assert f"embellama {name}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["serve", "--prot", "1"], "--prot is not an option. Did you mean --port?"),
        (
            ["serve", "--port", "x"],
            "--port: Input should be a valid integer, unable to parse string as an integer.",
        ),
        (["serve", "--port", "-1"], "--port: Input should be greater than or equal to 0."),
        (["serve", "--config", "none.toml"], "The config file none.toml can't be read: "),
        (["serve", "/a", "--model", "/b"], "Two models are given, /a and /b. Give one; "),
        (["serve", "/a", "--model-path", "/b"], "Two models are given, /a and /b. Give one; "),
        (["serve", "--model", "/a", "--model-path", "/b"], "Two models are given, /a and /b. "),
        (["serve", "--model", "/a", "--model", "/b"], "Two models are given, /a and /b. "),
        (["serve", "/a", "--models", "{}"], "--models: model_path is for a single model; "),
        (["serve", "/a", "/b"], "/b is not an option."),
        (["info", "--x"], "--x is not an option."),
    ],
)
def test_a_wrong_option_is_one_line_and_exit_code_2(
    arguments: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"embellama {arguments[0]}: {line}")
    assert captured.err.count("\n") == 1


def test_a_failure_is_one_line_and_exit_code_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["info", str(tmp_path)]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from functions.cli import main; main([]);"
        "print({'numpy', 'pydantic', 'fastapi', 'engine'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.splitlines()[-1] == "set()"
