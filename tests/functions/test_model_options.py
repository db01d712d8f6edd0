from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import pytest

from engine import EngineConfig
from functions.model_options import ModelOptions
from functions.settings import Settings, SettingsError
from functions.settings_sources import load_settings

FILE = """
threads = 2
[[models]]
path = "/a"
name = "a"
aliases = ["x", "y"]
[[models]]
path = "/b"
threads = 7
"""


def _load(tmp_path: Path, text: str) -> Settings:
    config = tmp_path / "c.toml"
    config.write_text(text, "utf-8")
    return load_settings(Namespace(config=str(config)))


def test_tables_inherit_what_they_leave_out(tmp_path: Path) -> None:
    first, second = _load(tmp_path, FILE).model_options()
    assert (first.path, first.names, first.threads) == ("/a", ("a", "x", "y"), 2)
    assert (second.path, second.names, second.threads) == ("/b", (), 7)
    assert second.engine_config() == EngineConfig(threads=7)


@pytest.mark.parametrize("text", ['{"path": "/a", "name": "n"}', '[{"path": "/a", "name": "n"}]'])
def test_the_environment_holds_json(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMBELLAMA_MODELS", text)
    (model,) = load_settings().model_options()
    assert (model.path, model.name) == ("/a", "n")


def test_a_flag_holds_json_and_is_repeatable() -> None:
    settings = load_settings(Namespace(models=['{"path": "/a"}', '{"path": "/b"}']))
    assert [model.path for model in settings.model_options()] == ["/a", "/b"]


def test_without_tables_there_is_one_model() -> None:
    assert Settings().model_options() == (ModelOptions(),)


@pytest.mark.parametrize(
    ("name", "served", "names"),
    [
        (None, ("a", "b"), ("a", "b")),
        ("n", ("a",), ("n", "a")),
        ("n", (), ("n",)),
        (None, (), ()),
    ],
)
def test_the_first_name_is_the_one_in_answers(
    name: str | None, served: tuple[str, ...], names: tuple[str, ...]
) -> None:
    (model,) = Settings(model_name=name, served_model_name=served).model_options()
    assert model.names == names
    assert model.name == (names[0] if names else None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('model_path = "/x"\n' + FILE, "model_path is for a single model"),
        ('model_name = "x"\n' + FILE, "model_name is for a single model"),
        ('served_model_name = ["x"]\n' + FILE, "served_model_name is for a single model"),
        (FILE + 'name = "x"', "two models have the name x"),
        (FILE + "pth = 1", "[1][pth]: Extra inputs are not permitted"),
        (FILE + "port = 1", "[1][port]: Extra inputs are not permitted"),
        ("models = 5", "models (file"),
    ],
)
def test_tables_that_mean_nothing_are_refused(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        _load(tmp_path, text)
    assert message in caught.value.message
    assert "models" in caught.value.message


def test_json_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMBELLAMA_MODELS", "{")
    with pytest.raises(SettingsError, match="EMBELLAMA_MODELS: not valid JSON"):
        load_settings()
