"""A copy of the repository as a newcomer has it, and what it takes to run its commands there."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.docs.blocks import ROOT

_LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv", ".cache", "__pycache__", "node_modules", "build", ".hypothesis", ".*_cache"
)
_OF_MAKE = ("MAKE", "MFLAGS")


@dataclass(frozen=True, slots=True)
class Clone:
    """The copy's directory and the variables that commands get in it."""

    directory: Path
    environment: dict[str, str]


def make_clone(directory: Path, default_bundle: Path) -> Clone:
    """Copy the files. The environment is ours, shown as one that make has installed there.

    So nothing is installed anew, but the copy's own code runs. The default model's bundle is in
    the user's cache already.
    """
    root = directory / "embellama"
    shutil.copytree(ROOT, root, ignore=_LEFT_OUT)
    _link_environment(root / ".venv")
    (root / ".cache").symlink_to(default_bundle.parent.parent)
    cache = directory / "cache"
    (cache / "embellama").mkdir(parents=True)
    (cache / "embellama" / default_bundle.name).symlink_to(default_bundle)
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_OF_MAKE) and name not in ("ARGS", "VENV", "PYTHON", "VIRTUAL_ENV")
    }
    return Clone(
        root,
        inherited
        | {
            "PATH": f"{root / '.venv' / 'bin'}:{inherited['PATH']}",
            "PYTHONPATH": str(root),
            "XDG_CACHE_HOME": str(cache),
        },
    )


def _link_environment(target: Path) -> None:
    """Below `target` as make leaves it; its marks are newer than all that they depend on."""
    target.mkdir()
    for entry in Path(sys.prefix).iterdir():
        if not entry.name.startswith("."):
            (target / entry.name).symlink_to(entry)
    for mark in (".uv", ".serve", ".lambda", ".dev"):
        (target / mark).touch()
