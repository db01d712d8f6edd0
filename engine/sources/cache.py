"""Fetched files on disk: complete entries, each made once, whatever dies or runs at a time.

Below `sources/` in the cache directory:
- `<key>/` is a complete entry, hashed each time it is used;
- `.<key>.partial/` is where it is made: finished files, and `*.part` files to go on with;
- `.<key>.lock` is held by the one process that makes it;
- `newest/<hash>.json` says which entry a source and filter was last, and what its files are.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeAlias

from engine.errors import IntegrityError, SourceError
from engine.model_files import MAX_JSON_BYTES, read_bounded
from engine.sources.expected import Digest, ExpectedFile
from engine.sources.request import Request
from engine.user_cache import user_cache_directory


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a remote source holds now. `documents` are files whose content is already at hand."""

    key: str
    revision: str
    files: tuple[ExpectedFile, ...]
    documents: Mapping[str, bytes]

    def all_files(self) -> tuple[ExpectedFile, ...]:
        """Files to download and documents."""
        documents = (
            ExpectedFile(path, len(text), Digest("sha256", hashlib.sha256(text).hexdigest()))
            for path, text in self.documents.items()
        )
        return (*self.files, *documents)


Download: TypeAlias = Callable[[ExpectedFile, Path], None]
"""Puts one verified file at the path, or raises; may leave other files beside it to go on with."""


class Cache:
    """The entries below a directory, as one request sees them."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self.root = (request.cache_directory or user_cache_directory()) / "sources"
        wanted = request.files
        roles = None if wanted is None or wanted.roles is None else sorted(wanted.roles)
        precision = None if wanted is None else wanted.precision
        identity = json.dumps([request.source, roles, precision])
        name = hashlib.sha256(identity.encode()).hexdigest()[:32]
        self._newest = self.root / "newest" / f"{name}.json"

    def newest(self) -> tuple[Path, str] | None:
        """Directory and revision of what this request got last, verified; None if it never did.

        Raises:
            IntegrityError: a file of it is missing, short or altered.
            SourceError: the cache can't be read.
        """
        with self._disk_errors():
            try:
                record = json.loads(read_bounded(self._newest, MAX_JSON_BYTES))
                directory = self.root / str(record["key"])
                revision = str(record["revision"])
                files = [
                    ExpectedFile(row["path"], row["bytes"], Digest(**row["digest"]))
                    for row in record["files"]
                ]
            except FileNotFoundError:
                return None
            except (ValueError, KeyError, TypeError) as exc:
                raise IntegrityError(
                    f"{self._newest} is damaged. Remove it, and fetch {self._request.source} anew."
                ) from exc
            for file in files:
                file.check(directory / file.path)
        return directory, revision

    def offline(self) -> Path:
        """What this request got last, without any network.

        Raises:
            SourceError: it never got any.
            IntegrityError: it is damaged.
        """
        try:
            found = self.newest()
        except IntegrityError as exc:
            raise IntegrityError(
                f"{exc.message} It can't be fetched anew offline: start once without --offline."
            ) from exc
        if found is None:
            raise SourceError(
                f"{self._request.source} was never fetched with this choice of files into "
                f"{self.root}, and --offline forbids fetching it: start once without --offline."
            )
        return found[0]

    def obtain(self, snapshot: Snapshot, download: Download) -> Path:
        """Directory of the snapshot's files, of which those not in the cache are downloaded.

        Raises:
            SourceError: a file can't be had, or the cache can't be written.
            IntegrityError: a file at the source is not the expected one.
        """
        files = snapshot.all_files()
        target = self.root / snapshot.key
        with self._disk_errors():
            if not _intact(target, files):
                self.root.mkdir(parents=True, exist_ok=True)
                with self._lock(snapshot.key):
                    if not _intact(target, files):
                        self._make(target, snapshot, download)
            self._record(snapshot, files)
        return target

    def _make(self, target: Path, snapshot: Snapshot, download: Download) -> None:
        """Fill the staging directory and rename it. What is there already and right is kept."""
        staging = self.root / f".{snapshot.key}.partial"
        if target.exists():
            self._request.progress(f"{target} is damaged: fetching what is wrong anew ...")
            shutil.rmtree(staging, ignore_errors=True)
            target.rename(staging)
        staging.mkdir(exist_ok=True)
        for file in snapshot.files:
            destination = staging / file.path
            destination.parent.mkdir(parents=True, exist_ok=True)
            if not _intact(staging, [file]):
                destination.unlink(missing_ok=True)
                download(file, destination)
        for path, text in snapshot.documents.items():
            (staging / path).write_bytes(text)
        _remove_others(staging, snapshot.all_files())
        staging.rename(target)

    def _record(self, snapshot: Snapshot, files: Sequence[ExpectedFile]) -> None:
        record = {
            "source": self._request.source,
            "revision": snapshot.revision,
            "key": snapshot.key,
            "files": [asdict(file) for file in files],
        }
        text = json.dumps(record, indent=1)
        known = text.encode()
        if self._newest.exists() and read_bounded(self._newest, MAX_JSON_BYTES) == known:
            return
        self._newest.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._newest.with_suffix(f".{secrets.token_hex(4)}.tmp")
        try:
            temporary.write_text(text, "utf-8")
            temporary.replace(self._newest)
        finally:
            temporary.unlink(missing_ok=True)

    @contextmanager
    def _lock(self, key: str) -> Iterator[None]:
        import filelock

        lock = filelock.FileLock(self.root / f".{key}.lock")
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            source = self._request.source
            self._request.progress(f"waiting for another process that fetches {source} ...")
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    @contextmanager
    def _disk_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            raise SourceError(
                f"{self._request.source} can't be kept in {self.root}: {exc.strerror or exc}"
                f"{f' ({os.fspath(exc.filename)!s})' if exc.filename else ''}. Make room, give "
                "read and write permission, or choose another cache directory (XDG_CACHE_HOME; on "
                "AWS Lambda EMBELLAMA_CACHE_DIRECTORY)."
            ) from exc


def _intact(directory: Path, files: Sequence[ExpectedFile]) -> bool:
    try:
        for file in files:
            file.check(directory / file.path)
    except IntegrityError:
        return False
    return True


def _remove_others(staging: Path, files: Sequence[ExpectedFile]) -> None:
    """Leave only the expected files, so that an entry is a function of its key."""
    expected = {staging / file.path for file in files}
    parents = {parent for path in expected for parent in path.parents}
    for path in sorted(staging.rglob("*"), reverse=True):
        if path in expected or path in parents:
            continue
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        else:
            path.unlink()
