"""Changed copies of a small checkpoint: what a case of the parity matrix lays over its base."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

CHECKPOINTS = Path(__file__).with_name("checkpoints")
Change = Mapping[str, Any] | None
"""Of one file: None removes it; `replace` gives all of it; `set` and `unset` change keys, with dots
between nested ones; `append` adds to a list. `move` gives it another name, before all else."""


def copy_with(base: str, files: Mapping[str, Change], directory: Path) -> Path:
    """Copy the checkpoint `base` without its vectors to a new directory and change `files`."""
    shutil.copytree(
        CHECKPOINTS / base, directory, ignore=shutil.ignore_patterns("golden.json", "vocab.txt")
    )
    for name, change in files.items():
        _apply(directory / name, change)
    return directory


def _apply(path: Path, change: Change) -> None:
    if change is None:
        path.unlink()
        return
    if "move" in change:
        target = path.parent / change["move"]
        target.parent.mkdir(parents=True, exist_ok=True)
        path = path.rename(target)
    if "replace" in change:
        document = change["replace"]
    else:
        document = json.loads(path.read_bytes()) if path.exists() else {}
    for key, value in change.get("set", {}).items():
        parent, last = _place(document, key)
        parent[last] = value
    for key in change.get("unset", []):
        parent, last = _place(document, key)
        del parent[last]
    for key, rows in change.get("append", {}).items():
        parent, last = _place(document, key)
        parent[last] = [*parent.get(last, []), *rows]
    path.parent.mkdir(parents=True, exist_ok=True)
    text = document if isinstance(document, str) else json.dumps(document)
    path.write_text(text, encoding="utf-8")


def _place(document: Any, key: str) -> tuple[Any, str]:  # noqa: ANN401 - the file decides
    *parents, last = key.split(".")
    for part in parents:
        document = document[part]
    return document, last
