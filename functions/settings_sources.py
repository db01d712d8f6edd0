"""The only reader of the command line, the environment and the config file.

The flag, the variable and the key of an option derive from its field in `Settings`.
Precedence: command line > EMBELLAMA_* > bare HOST and PORT > config file > default.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from argparse import Namespace
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_settings import EnvSettingsSource

from engine.user_cache import expand_home
from functions.settings import ENV_PREFIX, Settings, SettingsError

CONFIG_VARIABLE = "EMBELLAMA_CONFIG"
_BARE_VARIABLES = {"host": "HOST", "port": "PORT"}
_SERVICE_LINK_NAME = re.compile(r"\w+_(SERVICE_(HOST|PORT)(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?)")
_SERVICE_LINK_VALUE = re.compile(r"(tcp|udp|sctp)://.*")

_MEANT = {"model": "model_path", f"{ENV_PREFIX}MODEL": f"{ENV_PREFIX}MODEL_PATH"}
"""`--model` is a flag beside `--model-path`; another name is nearer to it, of another option."""

SettingsT = TypeVar("SettingsT", bound=Settings)


def load_settings(arguments: Namespace | None = None) -> Settings:
    """Read all sources. `arguments` holds the flags that were given, by field, and `config`.

    Raises:
        SettingsError: a source can't be read, or an option is unknown or invalid; one line.
    """
    return load_settings_of(Settings, arguments)


def load_settings_of(kind: type[SettingsT], arguments: Namespace | None = None) -> SettingsT:
    """Same as `load_settings`, for a target that has options of its own."""
    flags = dict(vars(arguments or Namespace()))
    config = flags.pop("config", None) or os.environ.get(CONFIG_VARIABLE) or None
    flags = {name: value for name, value in flags.items() if name in kind.model_fields}
    _refuse_unknown_variables(os.environ, kind)
    sources = [
        ("command line", flags),
        ("environment", _environment(kind)),
        ("environment", _bare_variables(os.environ)),
        (f"file {config}", _file(Path(config), kind) if config else {}),
    ]
    merged: dict[str, Any] = {}
    for _, values in reversed(sources):
        merged |= values
    try:
        return kind(**merged)
    except ValidationError as exc:
        raise SettingsError(_explain(exc, sources)) from exc


def nearest(name: str, known: Iterable[str]) -> str:
    """` Did you mean X?`, or nothing where no known name is near."""
    known = list(known)
    meant = _MEANT.get(name)
    found = [meant] if meant in known else difflib.get_close_matches(name, known, 1, cutoff=0.5)
    return f" Did you mean {found[0]}?" if found else ""


def flag_name(field: str) -> str:
    """The flag of a field: `model_path` -> `--model-path`."""
    return "--" + field.replace("_", "-")


def variable_name(field: str) -> str:
    """The environment variable of a field: `model_path` -> `EMBELLAMA_MODEL_PATH`."""
    return ENV_PREFIX + field.upper()


def _environment(kind: type[Settings]) -> dict[str, Any]:
    values = EnvSettingsSource(kind)()
    if _SERVICE_LINK_VALUE.fullmatch(str(values.get("port"))):
        del values["port"]
    return values


def _bare_variables(environ: Mapping[str, str]) -> dict[str, Any]:
    return {
        field: environ[variable]
        for field, variable in _BARE_VARIABLES.items()
        if environ.get(variable)
    }


def _refuse_unknown_variables(environ: Mapping[str, str], kind: type[Settings]) -> None:
    known = {variable_name(field) for field in kind.model_fields} | {CONFIG_VARIABLE}
    for variable in sorted(environ):
        name = variable.upper()
        if not name.startswith(ENV_PREFIX) or name in known:
            continue
        if not _is_service_link(name, environ[variable]):
            raise SettingsError(f"{variable} (environment) is not an option.{nearest(name, known)}")


def _is_service_link(name: str, value: str) -> bool:
    """Whether Kubernetes made the variable, to describe a service named `embellama...`."""
    if name.endswith("_PORT") and _SERVICE_LINK_VALUE.fullmatch(value):
        return True
    return _SERVICE_LINK_NAME.fullmatch(name) is not None


def _file(path: Path, kind: type[Settings]) -> dict[str, Any]:
    try:
        text = expand_home(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise SettingsError(f"The config file {path} can't be read: {exc}.") from exc
    values = _parse(path, text)
    if not isinstance(values, dict):
        raise SettingsError(f"The config file {path} must be a table of options.")
    for key in values:
        if key not in kind.model_fields:
            known = nearest(str(key), kind.model_fields)
            raise SettingsError(f"{key} (file {path}) is not an option.{known}")
    return values


def _parse(path: Path, text: str) -> object:
    if path.suffix == ".toml":
        try:
            return tomllib.loads(text)
        except tomllib.TOMLDecodeError as exc:
            raise SettingsError(f"The config file {path} is not valid TOML: {exc}.") from exc
    if path.suffix in (".yaml", ".yml"):
        return _parse_yaml(path, text)
    raise SettingsError(f"The config file {path} must end in .toml, .yaml or .yml.")


def _parse_yaml(path: Path, text: str) -> object:
    try:
        import yaml  # an extra, and the only place that needs it
    except ModuleNotFoundError as exc:
        raise SettingsError(
            f"Reading {path} needs PyYAML: install embellama[yaml], or use TOML."
        ) from exc
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as exc:
        detail = " ".join(str(exc).split())
        raise SettingsError(f"The config file {path} is not valid YAML: {detail}.") from exc
    return {} if values is None else values


def _explain(exc: ValidationError, sources: list[tuple[str, dict[str, Any]]]) -> str:
    """The first error in one line, naming the option as its source spells it."""
    error = exc.errors(include_url=False, include_input=False)[0]
    field = str(error["loc"][0]) if error["loc"] else "settings"
    inside = "".join(f"[{part}]" for part in error["loc"][1:])
    source = next((name for name, values in sources if field in values), "settings")
    label = {"command line": flag_name(field), "environment": variable_name(field)}
    where = label.get(source, f"{field} ({source})")
    if source == "environment" and variable_name(field) not in os.environ:
        where = _BARE_VARIABLES.get(field, where)
    return f"{where}{inside}: {error['msg'].removeprefix('Value error, ')}."
