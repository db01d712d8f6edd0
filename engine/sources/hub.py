"""A repository of the Hugging Face hub: a bundle, or a checkpoint to export.

A revision that is a commit (40 hex digits) never changes, so its entry in the cache is used without
any request. Any other, or none, is resolved to a commit at each start.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from engine.errors import IntegrityError, SourceError
from engine.model import MANIFEST_NAME
from engine.model_files import MAX_MANIFEST_BYTES, read_bounded
from engine.sources.cache import Cache, Snapshot
from engine.sources.expected import ExpectedFile
from engine.sources.request import Request
from engine.sources.selection import bundle_snapshot, refuse_filter

if TYPE_CHECKING:
    from engine.sources.hub_repository import HubRepository

_LOCATION = re.compile(r"(?P<id>\w[\w.-]*/\w[\w.-]*)(@(?P<revision>[\w./-]+))?", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}")
_CHECKPOINT_FILES = ("*.json", "*.safetensors", "vocab.txt", "tokenizer.model", "LICENSE*")
"""Of the top directory; and `config.json` one below it (the modules of sentence-transformers)."""


def fetch(request: Request) -> Path:
    """Directory of the repository's wanted files in the cache.

    Raises:
        SourceError: no such repository or revision, no access, no network, neither a bundle nor a
            checkpoint, or the cache can't be written.
        IntegrityError: a file is not what the hub or the manifest says.
        ManifestError: the manifest is not valid.
    """
    match = _LOCATION.fullmatch(request.location)
    if match is None:
        raise SourceError(f"{request.source!r} is not of the form hub:ORG/NAME[@REVISION].")
    cache = Cache(request)
    if request.offline:
        return cache.offline()
    revision = match["revision"]
    if revision is not None and _COMMIT.fullmatch(revision):
        try:
            found = cache.newest()
        except IntegrityError:
            found = None
        if found is not None:
            return found[0]
    from engine.sources.hub_repository import HubRepository

    repository = HubRepository(match["id"], revision)
    if revision != repository.commit:
        request.progress(
            f"{request.source} is now {match['id']}@{repository.commit}; "
            "give that revision to pin it"
        )
    return _obtain(request, cache, repository)


def _obtain(request: Request, cache: Cache, repository: HubRepository) -> Path:
    snapshot = _snapshot(request, repository)

    def download(file: ExpectedFile, destination: Path) -> None:
        request.progress(f"fetching {repository.url}/{file.path} ({file.bytes} bytes) ...")
        repository.download(file, destination)

    return cache.obtain(snapshot, download)


def _snapshot(request: Request, repository: HubRepository) -> Snapshot:
    manifest = repository.files.get(MANIFEST_NAME)
    if manifest is not None:
        text = _read(repository, manifest)
        return bundle_snapshot(text, where=repository.url, files=request.files)
    refuse_filter(request.files, repository.url)
    files = tuple(file for path, file in repository.files.items() if _is_of_checkpoint(path))
    if "config.json" not in repository.files or not any(
        file.path.endswith(".safetensors") for file in files
    ):
        raise SourceError(
            f"{repository.url} has neither a {MANIFEST_NAME} nor a config.json with safetensors, "
            "so it is neither a bundle nor a checkpoint that can be exported."
        )
    key = f"hub-{repository.name.replace('/', '--')}-{repository.commit}"
    return Snapshot(key=key, revision=repository.commit, files=files, documents={})


def _is_of_checkpoint(path: str) -> bool:
    parts = PurePosixPath(path)
    if len(parts.parts) == 1:
        return any(parts.match(pattern) for pattern in _CHECKPOINT_FILES)
    return len(parts.parts) == 2 and parts.name == "config.json"


def _read(repository: HubRepository, file: ExpectedFile) -> bytes:
    if file.bytes > MAX_MANIFEST_BYTES:
        raise IntegrityError(
            f"{repository.url}/{file.path} has {file.bytes} bytes, but at most "
            f"{MAX_MANIFEST_BYTES} are read. This is not a bundle's manifest."
        )
    with tempfile.TemporaryDirectory(prefix="embellama-") as directory:
        destination = Path(directory) / file.path
        try:
            repository.download(file, destination)
            return read_bounded(destination, MAX_MANIFEST_BYTES)
        except OSError as exc:
            raise SourceError(f"{directory} can't be written: {exc.strerror or exc}.") from exc
