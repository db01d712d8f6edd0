"""JSON files of a checkpoint directory, and what one may say."""

from __future__ import annotations

import json
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path, PureWindowsPath
from typing import Any, TypeAlias

from engine.errors import ExportError
from engine.model_files import MAX_JSON_BYTES, read_bounded
from engine.prompts import is_unicode

Json: TypeAlias = dict[str, Any]


def read_json(path: Path, limit_bytes: int = MAX_JSON_BYTES) -> Any:  # noqa: ANN401 - the file decides
    """What the file holds, which has at most so many bytes.

    Raises:
        ExportError: it can't be read, or is not JSON.
    """
    try:
        return json.loads(read_bounded(path, limit_bytes))
    except OSError as exc:
        raise ExportError(f"{path} can't be read: {exc.strerror or exc}.") from exc
    except (ValueError, RecursionError) as exc:
        raise ExportError(f"{path} is not valid JSON: {exc}.") from exc


def read_json_object(path: Path, limit_bytes: int = MAX_JSON_BYTES) -> Json:
    """What the file holds, which must be an object.

    Raises:
        ExportError: it can't be read, or holds something else.
    """
    document = read_json(path, limit_bytes)
    if not isinstance(document, dict):
        raise ExportError(f"{path} holds {type(document).__name__}, not an object.")
    return document


def read_optional_json(path: Path) -> Json:
    """Same, and empty where there is no file."""
    return read_json_object(path) if path.exists() else {}


def object_at(document: Mapping[str, Any], key: str, path: Path) -> Json:
    """The object under a key, empty where it is missing or null.

    Raises:
        ExportError: there is something else.
    """
    value = document.get(key)
    if value is not None and not isinstance(value, dict):
        raise ExportError(f"{path} has {key}={value!r}; an object is needed.")
    return value or {}


def refuse_unknown(document: Mapping[str, Any], known: AbstractSet[str], where: str) -> None:
    """Refuse keys that nobody looked at: they may decide the vectors.

    Raises:
        ExportError: names the first.
    """
    for key in sorted(set(document) - known):
        raise ExportError(
            f"{where} has {key}={document[key]!r}, which is not known here and may change vectors. "
            "Take it out of a copy of the checkpoint if it doesn't."
        )


def path_within(directory: Path, name: object, where: Path) -> Path:
    """What a file of the checkpoint names by a relative path, which may not lead out of it.

    Links are followed: those of the hub's cache lead out of it.

    Raises:
        ExportError: it leads out, or is no path.
    """
    parts = PureWindowsPath(name) if isinstance(name, str) else None  # takes both separators
    is_bad = parts is None or parts.anchor or ".." in parts.parts
    if not isinstance(name, str) or is_bad or "\0" in name or not is_unicode(name):
        raise ExportError(f"{where} names {name!r}, which is not a path within {directory}.")
    return directory / name


def whole_number(document: Mapping[str, Any], key: str, where: str) -> int | None:
    """The number from 1 on under a key; None where it is missing or null.

    Raises:
        ExportError: there is something else.
    """
    value = document.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1:
        raise ExportError(f"{where} has {key}={value!r}; a whole number is needed.")
    if value < 1:
        raise ExportError(f"{where} has {key}={value!r}; a whole number from 1 on is needed.")
    return int(value)
