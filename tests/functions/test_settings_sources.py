from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import pytest

from functions.settings import LogLevel, Settings, SettingsError
from functions.settings_sources import load_settings


def test_building_settings_reads_no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMBELLAMA_PORT", "9")
    assert Settings().port == 8080


def _write(path: Path, text: str) -> str:
    path.write_text(text, "utf-8")
    return str(path)


def test_precedence_is_flag_variable_bare_variable_file_default(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = [load_settings().port]
    config = _write(tmp_path / "c.toml", "port = 1")
    found.append(load_settings(Namespace(config=config)).port)
    monkeypatch.setenv("PORT", "2")
    found.append(load_settings(Namespace(config=config)).port)
    monkeypatch.setenv("EMBELLAMA_PORT", "3")
    found.append(load_settings(Namespace(config=config)).port)
    found.append(load_settings(Namespace(config=config, port="4")).port)
    assert found == [8080, 1, 2, 3, 4]


def test_sources_are_merged_option_by_option(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("EMBELLAMA_THREADS", "2")
    config = _write(tmp_path / "c.toml", "port = 1\nthreads = 9")
    settings = load_settings(Namespace(config=config, host=["::1"]))
    assert (settings.host, settings.port, settings.threads) == (("::1",), 1, 2)


def test_host_has_a_bare_variable_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOST", "0.0.0.0")  # noqa: S104 - a value, nothing listens
    assert load_settings().host == ("0.0.0.0",)  # noqa: S104


def test_an_empty_variable_is_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMBELLAMA_PORT", "")
    monkeypatch.setenv("PORT", "")
    monkeypatch.setenv("EMBELLAMA_CONFIG", "")
    assert load_settings().port == 8080


def test_several_values_are_a_list_in_a_file(tmp_path: Path) -> None:
    config = _write(tmp_path / "c.toml", 'api_key = ["a", "b,c"]')
    settings = load_settings(Namespace(config=config))
    assert [key.get_secret_value() for key in settings.api_key] == ["a", "b,c"]


def test_several_values_have_commas_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMBELLAMA_API_KEY", "a, x:b,")
    assert [key.get_secret_value() for key in load_settings().api_key] == ["a", "x:b"]


@pytest.mark.parametrize("name", ["c.yaml", "c.yml"])
def test_the_file_may_be_yaml(name: str, tmp_path: Path) -> None:
    config = _write(tmp_path / name, "port: 1\nlog_level: debug\n")
    settings = load_settings(Namespace(config=config))
    assert (settings.port, settings.log_level) == (1, LogLevel.DEBUG)


def test_an_empty_yaml_file_changes_nothing(tmp_path: Path) -> None:
    assert load_settings(Namespace(config=_write(tmp_path / "c.yaml", ""))) == Settings()


def test_the_file_may_be_named_by_a_variable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("EMBELLAMA_CONFIG", _write(tmp_path / "c.toml", "port = 1"))
    assert load_settings().port == 1


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("c.toml", "prot = 1", "is not an option. Did you mean port?"),
        ("c.toml", "model = 'x'", "is not an option. Did you mean model_path?"),
        ("c.toml", "zzzzzz = 1", "is not an option."),
        ("c.toml", "port = ", "is not valid TOML"),
        ("c.yaml", "a: [", "is not valid YAML"),
        ("c.yaml", "- 1", "must be a table of options"),
        ("c.ini", "", "must end in .toml, .yaml or .yml"),
        ("c.toml", "port = 70000", "less than or equal to 65535"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line(
    name: str, text: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(Namespace(config=_write(tmp_path / name, text)))
    assert message in caught.value.message
    assert name in caught.value.message
    assert "\n" not in caught.value.message


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="can't be read"):
        load_settings(Namespace(config=str(tmp_path / "none.toml")))


@pytest.mark.parametrize(
    ("name", "meant"),
    [("EMBELLAMA_THREAD", "EMBELLAMA_THREADS"), ("EMBELLAMA_MODEL", "EMBELLAMA_MODEL_PATH")],
)
def test_an_unknown_variable_is_refused_with_the_nearest(
    name: str, meant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "2")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert caught.value.message == (f"{name} (environment) is not an option. Did you mean {meant}?")


def test_variables_that_kubernetes_makes_for_a_service_are_no_options(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in {
        "EMBELLAMA_SERVICE_HOST": "10.0.0.7",
        "EMBELLAMA_SERVICE_PORT": "80",
        "EMBELLAMA_SERVICE_PORT_HTTP": "80",
        "EMBELLAMA_PORT": "tcp://10.0.0.7:80",
        "EMBELLAMA_PORT_80_TCP": "tcp://10.0.0.7:80",
        "EMBELLAMA_PORT_80_TCP_ADDR": "10.0.0.7",
        "EMBELLAMA_GPU_PORT": "tcp://10.0.0.8:80",
        "EMBELLAMA_GPU_SERVICE_HOST": "10.0.0.8",
    }.items():
        monkeypatch.setenv(name, value)
    assert load_settings() == Settings()


def test_an_unknown_variable_that_ends_in_port_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMBELLAMA_METRICS_PORT", "9000")
    with pytest.raises(SettingsError, match="EMBELLAMA_METRICS_PORT"):
        load_settings()


@pytest.mark.parametrize(
    ("variable", "flags", "where"),
    [
        (None, {"port": "x"}, "--port: "),
        ("EMBELLAMA_PORT", {}, "EMBELLAMA_PORT: "),
        ("PORT", {}, "PORT: "),
    ],
)
def test_an_invalid_value_names_the_option_as_its_source_spells_it(
    variable: str | None,
    flags: dict[str, str],
    where: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if variable:
        monkeypatch.setenv(variable, "x")
    with pytest.raises(SettingsError) as caught:
        load_settings(Namespace(**flags))
    assert caught.value.message.startswith(where)
    assert "\n" not in caught.value.message
