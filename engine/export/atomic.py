"""Builds a directory in full or not at all, once, whatever dies or runs at the same time."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock

from engine.errors import ExportError
from engine.export.progress import Progress


def build_once(
    target: Path,
    *,
    is_complete: Callable[[Path], bool],
    build: Callable[[Path], None],
    progress: Progress,
) -> None:
    """Make `target` by calling `build` with an empty directory beside it, then renaming that.

    A lock file beside `target` lets one process build at a time; the others wait and take its
    result. What a killed build left is removed by the next one. An incomplete `target` is
    replaced.

    Raises:
        ExportError: the disk is full, or the place can't be written.
    """
    with _one_error(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with _lock(target, progress):
            if not is_complete(target):
                _build(target, build)


def build_beside(target: Path, build: Callable[[Path], None]) -> None:
    """Make `target`, replacing what is there, without leaving as much as a lock file.

    Several processes may do so at once: each renames its own result. What a killed one left
    (`.NAME.building-...`) stays, as it might be another's that is at work.

    Raises:
        ExportError: the disk is full, or the place can't be written.
    """
    prefix = f".{target.name}.building-{secrets.token_hex(4)}"
    with _one_error(target):
        made = _make_parents(target)
        try:
            _build_and_rename(target, build, prefix)
        except BaseException:
            for parent in made:
                parent.rmdir()
            raise


def _make_parents(target: Path) -> list[Path]:
    """Make the directories above, and list those that were not there, the lowest first."""
    missing = [parent for parent in target.absolute().parents if not parent.exists()]
    target.parent.mkdir(parents=True, exist_ok=True)
    return missing


@contextmanager
def _one_error(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        reason = exc.strerror or f"a write failed ({exc}); the disk may be full"
        raise ExportError(
            f"{target} can't be made: {reason}. Nothing was left there. "
            "Make room or give write permission, or choose another directory (for the cache: "
            "XDG_CACHE_HOME)."
        ) from exc


@contextmanager
def _lock(target: Path, progress: Progress) -> Iterator[None]:
    lock = filelock.FileLock(target.with_name(f".{target.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        progress(f"waiting for another process that makes {target} ...")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _build(target: Path, build: Callable[[Path], None]) -> None:
    """Build beside the target, then rename. The lock is held, so other leftovers are dead."""
    prefix = f".{target.name}.building-"
    _remove(target.parent, prefix)
    _build_and_rename(target, build, prefix)


def _build_and_rename(target: Path, build: Callable[[Path], None], prefix: str) -> None:
    """All that is made meanwhile has names that start with `prefix`."""
    temporary = target.with_name(prefix + secrets.token_hex(4))
    temporary.mkdir()
    try:
        build(temporary)
        _sync(temporary)
        if target.exists():
            target.rename(target.with_name(prefix + secrets.token_hex(4)))
        temporary.rename(target)
        _sync_directory(target.parent)
    finally:
        _remove(target.parent, prefix)


def _remove(parent: Path, prefix: str) -> None:
    for path in parent.iterdir():
        if path.name.startswith(prefix):
            shutil.rmtree(path, ignore_errors=True)


def _sync(directory: Path) -> None:
    """Force all files of a flat directory, and its entries, to the disk."""
    for path in directory.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
    _sync_directory(directory)


def _sync_directory(directory: Path) -> None:
    if os.name != "posix":
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
