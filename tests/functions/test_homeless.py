"""A user without a home directory: what needs none works, what does says what to set."""

from __future__ import annotations

import os
import pwd
import sys
from pathlib import Path
from typing import NoReturn

import httpx2
import pytest

from engine.errors import ConfigurationError
from functions.cli import main
from functions.model_options import ModelOptions
from functions.targets.loading import open_configured_engine
from tests.functions.targets.serving import ServerProcess

CHECKPOINT = Path(__file__).parent.parent / "golden" / "checkpoints" / "bert"
CURE = "XDG_CACHE_HOME (or HOME)"


def _unknown(user: object) -> NoReturn:
    raise KeyError(f"not found: {user}")


def be_homeless() -> None:
    """Become a user who is in no list of users, as in a container that runs as a number."""
    for variable in [name for name in os.environ if name == "HOME" or name.startswith("XDG_")]:
        del os.environ[variable]
    pwd.getpwuid = pwd.getpwnam = _unknown


@pytest.fixture(autouse=True)
def _homeless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in [name for name in os.environ if name == "HOME" or name.startswith("XDG_")]:
        monkeypatch.delenv(variable)
    monkeypatch.setattr(pwd, "getpwuid", _unknown)
    monkeypatch.setattr(pwd, "getpwnam", _unknown)
    monkeypatch.chdir(tmp_path)


def _last_line(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    code = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    assert captured.out == ""
    assert not list(Path().glob("~*"))
    return code, captured.err.splitlines()[-1]


@pytest.mark.model
def test_a_local_bundle_is_served(default_bundle: Path) -> None:
    """As a process of its own, so that no package has looked for a home directory before."""
    program = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parents[2])!r}); "
        "from tests.functions.test_homeless import be_homeless; be_homeless(); "
        "from functions.cli import main; sys.exit(main())"
    )
    options = ["--model-path", str(default_bundle), "--port", "0", "--log-format", "json"]
    with ServerProcess([sys.executable, "-c", program, "serve", *options]) as server:
        asked = {"model": server.event("model ready")["model"], "input": "a text"}
        assert httpx2.post(f"{server.url}/v1/embeddings", json=asked).status_code == 200


def test_a_local_bundle_is_made_and_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = str(tmp_path / "bundle")
    assert main(["export", str(CHECKPOINT), "--gguf", "none", "--output", bundle]) == 0
    assert main(["info", bundle]) == 0
    assert main(["verify", bundle]) == 0
    assert capsys.readouterr().out.endswith("passed\n")


@pytest.mark.parametrize("path", [None, str(CHECKPOINT), "org/name", "s3://bucket/prefix"])
@pytest.mark.parametrize("offline", [True, False])
def test_a_server_that_needs_a_cache_says_what_to_set(path: str | None, offline: bool) -> None:
    with pytest.raises(ConfigurationError) as caught:
        open_configured_engine(ModelOptions(path=path), offline=offline)
    assert CURE in caught.value.message


@pytest.mark.parametrize(
    "arguments",
    [
        ["export", "org/name", "--output", "bundle"],
        ["export", "s3://bucket/prefix", "--output", "bundle"],
        ["info"],
        ["verify"],
    ],
    ids=" ".join,
)
def test_a_command_that_needs_a_cache_says_what_to_set(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    code, last = _last_line(capsys, *arguments)
    assert code == 2
    assert last.startswith(f"embellama {arguments[0]}: ")
    assert CURE in last


@pytest.mark.parametrize(
    "arguments",
    [
        ["serve", "--config", "~/embellama.toml"],
        ["export", "~nobody/checkpoint", "--output", "bundle"],
    ],
    ids=" ".join,
)
def test_a_path_in_a_home_directory_that_there_is_not_is_told(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    code, last = _last_line(capsys, *arguments)
    assert code == 2
    assert "There is no home directory for ~" in last


def test_so_is_a_model_in_one() -> None:
    with pytest.raises(ConfigurationError, match="There is no home directory for ~ in ~/bundle"):
        open_configured_engine(ModelOptions(path="~/bundle"))


def test_a_cache_may_be_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file stands where the directory should be, which nobody can write to."""
    cache = tmp_path / "cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    cache.write_text("")
    code, last = _last_line(capsys, "info")
    assert code == 1
    assert str(cache) in last
    assert "XDG_CACHE_HOME" in last
