"""What derives from the fields of `Settings`: flags, their help, and the table for the docs."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from enum import Enum
from typing import Any, NoReturn, get_args, get_origin

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from functions.settings import Settings, SettingsError
from functions.settings_sources import CONFIG_VARIABLE, flag_name, nearest, variable_name

_CONFIG_HELP = "TOML or YAML file of options; keys are the flags' names with underscores."

_MODEL = "model_path"
_MORE_FLAGS = {_MODEL: ("--model",)}
"""Other names of a field's flag."""

_PLAIN_DEFAULTS = {
    name: field.default
    for name, field in Settings.model_fields.items()
    if field.default_factory is None
}
"""What a default that follows from other options is told by."""


class OptionParser(argparse.ArgumentParser):
    """A parser that raises `SettingsError` with one line instead of printing its usage."""

    def error(self, message: str) -> NoReturn:
        """Raise what argparse would print."""
        unknown = message.removeprefix("unrecognized arguments: ")
        if unknown != message:
            flag = unknown.split()[0].split("=")[0]
            known = nearest(flag, [name for name in self._flags if name.startswith("--")])
            raise SettingsError(f"{flag} is not an option.{known}")
        raise SettingsError(f"{message}.")

    @property
    def _flags(self) -> Sequence[str]:
        return [name for action in self._actions for name in action.option_strings]


class _StoreModel(argparse.Action):
    """Stores the one model, which is given with any of its flags or without one."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,  # noqa: ARG002 - the parameters are argparse's
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,  # noqa: ARG002
    ) -> None:
        """Raise SettingsError where another model came before."""
        before = getattr(namespace, self.dest, values)
        if before != values:
            raise SettingsError(
                f"Two models are given, {before} and {values}. Give one; several take --models."
            )
        setattr(namespace, self.dest, values)


def add_setting_flags(parser: argparse.ArgumentParser) -> None:
    """Give the parser `--config` and one flag a field. Flags not given leave no trace."""
    parser.add_argument("--config", metavar="FILE", help=f"{_CONFIG_HELP} (env: {CONFIG_VARIABLE})")
    for name, field in Settings.model_fields.items():
        help_text = f"{field.description} (default: {_default(field)}; env: {variable_name(name)})"
        options: dict[str, Any] = {"metavar": _metavar(field)}
        if _is_bool(field):
            options = {"action": argparse.BooleanOptionalAction}
        elif _is_list(field):
            options |= {"action": "append"}
        elif name == _MODEL:
            options |= {"action": _StoreModel}
        parser.add_argument(
            *_flags_of(name),
            dest=name,
            default=argparse.SUPPRESS,
            help=help_text.replace("%", "%%"),
            **options,
        )


def add_model_argument(parser: argparse.ArgumentParser) -> None:
    """Let the model be given without its flag, too. Not given, it leaves no trace."""
    parser.add_argument(
        _MODEL,
        nargs="?",
        metavar="MODEL",
        default=argparse.SUPPRESS,
        action=_StoreModel,
        help=f"as {flag_name(_MODEL)}",
    )


def option_table() -> str:
    """All options as a Markdown table: flags, variable, default, meaning."""
    rows = [
        "| Flag | Variable | Default | Meaning |",
        "|---|---|---|---|",
        f"| `--config` | `{CONFIG_VARIABLE}` | none | {_CONFIG_HELP} |",
    ]
    rows += [
        f"| {_flag_cell(name)} | `{variable_name(name)}` | {_cell(field)} | {_meaning(field)} |"
        for name, field in Settings.model_fields.items()
    ]
    return "\n".join(rows) + "\n"


def _flags_of(field: str) -> tuple[str, ...]:
    return (flag_name(field), *_MORE_FLAGS.get(field, ()))


def _flag_cell(field: str) -> str:
    return ", ".join(f"`{flag}`" for flag in _flags_of(field))


def _cell(field: FieldInfo) -> str:
    default = _default(field)
    is_nothing = default == "none" and not _choices(field)
    return default if is_nothing else f"`{default}`"


def _meaning(field: FieldInfo) -> str:
    text = (field.description or "").replace("|", "\\|")
    choices = _choices(field)
    return f"{text} One of {', '.join(f'`{choice}`' for choice in choices)}." if choices else text


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True, validated_data=_PLAIN_DEFAULTS)
    if value is None or value == () or value is PydanticUndefined:
        return "none"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value.value if isinstance(value, Enum) else value)


def _metavar(field: FieldInfo) -> str:
    choices = _choices(field)
    if choices:
        return "{" + ",".join(choices) + "}"
    kinds = [kind for kind in _kinds(field) if kind is not type(None)]
    return {int: "N", float: "SECONDS"}.get(kinds[0], "PATH" if "Path" in str(kinds[0]) else "TEXT")


def _choices(field: FieldInfo) -> list[str]:
    for kind in _kinds(field):
        if isinstance(kind, type) and issubclass(kind, Enum):
            return [str(member.value) for member in kind]
    return []


def _is_bool(field: FieldInfo) -> bool:
    return bool in _kinds(field)


def _is_list(field: FieldInfo) -> bool:
    return get_origin(field.annotation) is tuple


def _kinds(field: FieldInfo) -> list[Any]:
    """The types that a field takes: the members of its union, or the one it has."""
    return list(get_args(field.annotation)) or [field.annotation]
