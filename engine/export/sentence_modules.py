"""modules.json of sentence-transformers, and the files of the modules after the Transformer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from engine.errors import ExportError
from engine.export.json_files import (
    path_within,
    read_json,
    read_json_object,
    read_optional_json,
    refuse_unknown,
)
from engine.types import Pooling

_PACKAGE = "sentence_transformers"
_MODULES = ("Transformer", "Pooling")
_ENDINGS = frozenset({"Normalize", "Dropout"})
"""Modules that may follow; Dropout does nothing but in training."""
_PLACES = {
    "Transformer": "base.modules.transformer",
    "Pooling": "sentence_transformer.modules.pooling",
    "Normalize": "base.modules.normalize",
    "Dropout": "sentence_transformer.modules.dropout",
}
"""Where version 6.2 has them; it takes the older names below as well."""
_CLASS_OF = {
    f"{_PACKAGE}.{place}.{name}": name
    for name, own in _PLACES.items()
    for place in (
        own,
        own.rsplit(".", 1)[0],
        "models",
        f"models.{name}",
        "sentence_transformer.modules",
        f"sentence_transformer.modules.{name.lower()}",
    )
}
"""Classes by the types that modules.json may state."""
_POOLING_OF_MODE = {
    "cls_token": Pooling.CLS,
    "cls": Pooling.CLS,
    "mean_tokens": Pooling.MEAN,
    "mean": Pooling.MEAN,
    "lasttoken": Pooling.LAST_TOKEN,
}
_MODE_PREFIX = "pooling_mode_"
_POOLING_KEYS = frozenset(
    {"embedding_dimension", "word_embedding_dimension", "pooling_mode", "include_prompt"}
)


def read_modules(path: Path) -> dict[str, object]:
    """Directories of the modules by class name; empty where there is no file.

    Raises:
        ExportError: there are others, or in another order, than can be exported.
    """
    if not path.exists():
        return {}
    rows = read_json(path)
    if not isinstance(rows, Sequence) or not all(
        isinstance(row, Mapping) and isinstance(row.get("type"), str) for row in rows
    ):
        raise ExportError(f"{path} is not a list of modules with their types.")
    for row in rows:
        if not row["type"].startswith(f"{_PACKAGE}."):
            raise ExportError(
                f"{path} has a module of the type {row['type']!r}, whose code is its own: what it "
                "computes is not known here."
            )
    names = tuple(_CLASS_OF.get(row["type"], repr(row["type"])) for row in rows)
    if names[: len(_MODULES)] != _MODULES or not _ENDINGS.issuperset(names[len(_MODULES) :]):
        raise ExportError(
            f"{path} has the modules {', '.join(names) or 'none'}, which can't be exported. Only "
            "Transformer, Pooling and, after them, Normalize can."
        )
    modules = {name: row.get("path", "") for name, row in zip(names, rows, strict=True)}
    for place in modules.values():
        path_within(path.parent, place, path)
    if modules["Transformer"]:
        raise ExportError(
            f"{path} has its Transformer in {modules['Transformer']!r}. Move what is there to "
            f"{path.parent}, and say so in a copy of the file (path: '')."
        )
    return modules


def normalizes(directory: Path) -> bool:
    """That a Normalize module is about the vectors of texts.

    Raises:
        ExportError: it is about others.
    """
    path = directory / "config.json"
    config = read_optional_json(path)
    for key in ("module_input_name", "module_output_name"):
        if config.get(key) not in (None, "sentence_embedding"):
            raise ExportError(f"{path} has {key}={config[key]!r}; only 'sentence_embedding' works.")
    return True


def pooling_of(directory: Path) -> Pooling:
    """What a Pooling module says.

    Raises:
        ExportError: it is not supported.
    """
    path = directory / "config.json"
    config = read_json_object(path)
    if config.get("include_prompt") is False:
        raise ExportError(
            f"{path} leaves the prompt's tokens out of pooling (include_prompt: false), "
            "which is not supported."
        )
    flags = {key: value for key, value in config.items() if key.startswith(_MODE_PREFIX)}
    refuse_unknown(config, _POOLING_KEYS | frozenset(flags), str(path))
    stated = config.get("pooling_mode")  # Where it is stated, the older flags do not count.
    for key, value in flags.items():
        if value is not None and not isinstance(value, bool):
            raise ExportError(f"{path} has {key}={value!r}; true or false is needed.")
    if stated is None:
        modes = [key.removeprefix(_MODE_PREFIX) for key, value in flags.items() if value is True]
    else:
        modes = [str(mode) for mode in stated] if isinstance(stated, list) else [str(stated)]
    if len(modes) != 1 or modes[0] not in _POOLING_OF_MODE:
        raise ExportError(
            f"{path} asks for the pooling {' + '.join(modes) or 'none'}. "
            f"Supported: one of {', '.join(_POOLING_OF_MODE)}."
        )
    return _POOLING_OF_MODE[modes[0]]
