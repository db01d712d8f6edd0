from __future__ import annotations

from argparse import Namespace

import pytest

from functions.options import OptionParser, add_setting_flags, option_table
from functions.settings import Settings, SettingsError
from functions.settings_sources import flag_name, load_settings


def _parse(*arguments: str) -> Namespace:
    parser = OptionParser(prog="test", allow_abbrev=False)
    add_setting_flags(parser)
    return parser.parse_args(list(arguments))


def test_every_field_has_a_flag_and_a_description() -> None:
    parser = OptionParser(prog="test")
    add_setting_flags(parser)
    help_text = " ".join(parser.format_help().split())
    for name, field in Settings.model_fields.items():
        assert flag_name(name) in help_text
        assert field.description


def test_flags_that_are_not_given_leave_no_trace() -> None:
    assert vars(_parse()) == {"config": None}


def test_flags_become_settings() -> None:
    settings = load_settings(
        _parse("--port", "1", "--gpu", "--model-name=m", "--engine", "gguf", "--threads", "2")
    )
    assert settings == Settings(port=1, gpu=True, model_name="m", engine="gguf", threads=2)


def test_an_option_of_several_values_is_a_repeated_flag() -> None:
    settings = load_settings(_parse("--api-key", "a", "--api-key", "b,c"))
    assert [key.get_secret_value() for key in settings.api_key] == ["a", "b,c"]


def test_a_switch_can_be_turned_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMBELLAMA_GPU", "true")
    assert load_settings(_parse()).gpu is True
    assert load_settings(_parse("--no-gpu")).gpu is False


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--prot", "1"], "--prot is not an option. Did you mean --port?"),
        (["--model-pth=x"], "--model-pth is not an option. Did you mean --model-path?"),
        (["--port"], "argument --port: expected one argument."),
        (["stray"], "stray is not an option."),
    ],
)
def test_a_wrong_flag_is_refused_in_one_line(arguments: list[str], message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        _parse(*arguments)
    assert caught.value.message == message


def test_the_table_has_one_row_for_each_option() -> None:
    lines = option_table().splitlines()
    assert len(lines) == 3 + len(Settings.model_fields)
    assert (
        "| `--port` | `EMBELLAMA_PORT` | `8080` | "
        "Port to listen on; 0 takes any free port and logs it. |"
    ) in lines
