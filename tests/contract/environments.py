"""Environments of clients that can't share ours, made once into a cache from locks with hashes."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

from filelock import FileLock

ROOT = Path(__file__).resolve().parents[2]
CACHE = (ROOT / ".cache").resolve() / "tests"
"""Resolved: scripts name their interpreter by its whole path, and a clone may link to our cache."""


def node_environment(source: Path) -> Path:
    """A directory with the packages of `source`; skips the test if they can't be had."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        _skip("node or npm is not installed: the official Node client was not checked")
    files = [source / "package.json", source / "package-lock.json"]
    target = _target("node", files)
    with FileLock(f"{target}.lock"):
        if not (target / ".done").exists():
            target.mkdir(parents=True, exist_ok=True)
            for file in files:
                shutil.copy(file, target)
            _install([npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], target)
            (target / ".done").touch()
    return target


def python_environment(name: str) -> Path:
    """The interpreter of an environment with what `infra/locks/<name>.txt` pins, or a skip."""
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if uv is None:
        _skip(f"uv is not installed: the client {name} was not checked")
    lock = ROOT / "infra" / "locks" / f"{name}.txt"
    target = _target(name, [lock])
    with FileLock(f"{target}.lock"):
        if not (target / ".done").exists():
            _install([uv, "venv", "--clear", "--python", sys.executable, str(target)], CACHE)
            python = str(target / "bin" / "python")
            options = ["--require-hashes", "--no-deps", "--python", python, "-r", str(lock)]
            _install([uv, "pip", "install", *options], CACHE)
            (target / ".done").touch()
    return target / "bin" / "python"


def _target(name: str, files: list[Path]) -> Path:
    """Another lock or interpreter, another directory."""
    digest = hashlib.sha256(sys.version.encode())
    for file in files:
        digest.update(file.read_bytes())
    CACHE.mkdir(parents=True, exist_ok=True)
    return CACHE / f"{name}-{digest.hexdigest()[:12]}"


def _install(command: list[str], directory: Path) -> None:
    result = subprocess.run(command, cwd=directory, capture_output=True, text=True)
    if result.returncode != 0:
        _skip(f"not checked, as the packages can't be had: {result.stderr.strip()[-300:]}")


def _skip(why: str) -> NoReturn:
    """End the test, or a program outside of tests, where pytest need not be installed."""
    if "pytest" not in sys.modules:
        sys.exit(why)
    import pytest

    pytest.skip(why)
