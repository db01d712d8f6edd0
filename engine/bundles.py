"""What is to be served -> a bundle on this machine: found, fetched, or made once."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Callable
from pathlib import Path

from engine.errors import ConfigurationError, SourceError
from engine.model import MANIFEST_NAME, is_bundle, sha256_of
from engine.sources import resolve
from engine.sources.names import hub_name_of
from engine.user_cache import user_cache_directory

_DEFAULT_MODEL_NAMES = ("all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2")
"""Those by which GET /v1/models and the hub call it."""
_IDENTIFYING_SUFFIXES = frozenset({".safetensors", ".gguf", ".onnx", ".json"})


def ensure_bundle(
    source: str | None = None,
    *,
    cache_directory: Path | None = None,
    offline: bool = False,
    progress: Callable[[str], None],
) -> Path:
    """Directory of the bundle of `source`.

    Args:
        source: a path, `ORG/NAME@REVISION` of the hub, `package:NAME` or `s3://BUCKET/PREFIX`;
            the default model if None, and by its names, with which nothing is fetched where no
            such path is. What is not a bundle but can be exported is exported into
            the cache, once.
        cache_directory: where bundles are kept; the user's cache if None, and if it is needed.
        offline: never use the network; what was fetched before is taken from the cache.
        progress: called with one line at each step that takes time.

    Raises:
        BundleError: the source can't be had, or no bundle can be made of it.
        ConfigurationError: a package that this needs is not installed, or there is no cache.
    """
    if source is None or (source in _DEFAULT_MODEL_NAMES and not Path(source).exists()):
        try:
            return _ensure_default_bundle(cache_directory, progress)
        except SourceError:  # It is not installed, but the hub may have it.
            if source is None or hub_name_of(source) is None:
                raise
    path = resolve(source, cache_directory=cache_directory, offline=offline, progress=progress)
    if (path / MANIFEST_NAME).is_file():
        return path
    hub_name = hub_name_of(source)
    name = None if hub_name is None else hub_name.rpartition("/")[2]
    return _export(path, cache_directory, name, progress)


def _ensure_default_bundle(cache_directory: Path | None, progress: Callable[[str], None]) -> Path:
    default_model = importlib.import_module("engine.export.default_model")
    made: Path = default_model.ensure_default_bundle(cache_directory, progress)
    return made


def _export(
    path: Path, cache_directory: Path | None, name: str | None, progress: Callable[[str], None]
) -> Path:
    try:
        from engine.export import EXPORTER_VERSION
        from engine.export.atomic import build_once
        from engine.export.bundle import write_bundle
        from engine.export.options import ExportOptions
        from engine.export.ownership import check_only_ours
    except ImportError as exc:
        raise ConfigurationError(
            f"{path} is not a bundle, and making one of it needs the package {exc.name}: install "
            "the extra 'export', or make the bundle elsewhere with embellama export."
        ) from exc

    def build(directory: Path) -> None:
        write_bundle(path, directory, ExportOptions(name), progress)

    root = cache_directory or user_cache_directory()
    target = root / "exports" / f"{path.stem}-{_identity(path, EXPORTER_VERSION)}"
    if not is_bundle(target):
        progress(f"making a bundle of {path} in {target}, once ...")
        build_once(
            target,
            is_complete=is_bundle,
            build=build,
            progress=progress,
        )
    check_only_ours(target)  # It is taken for the source's by its name.
    return target


def _identity(path: Path, exporter_version: object) -> str:
    """12 hex digits that change with the source's files and with the exporter."""
    digest = hashlib.sha256(str(exporter_version).encode())
    files = [path] if path.is_file() else sorted(path.rglob("*"))
    for file in files:
        if file.is_file() and file.suffix in _IDENTIFYING_SUFFIXES:
            digest.update(f"{file.name} {sha256_of(file)}\n".encode())
    return digest.hexdigest()[:12]
