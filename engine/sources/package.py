"""An installed Python package with a model in it, found and read without importing the package."""

from __future__ import annotations

import base64
import importlib.metadata
from importlib.metadata import PackagePath
from pathlib import Path, PurePosixPath

from engine.errors import IntegrityError, SourceError
from engine.model import MANIFEST_NAME, ModelBundle
from engine.sources.expected import Digest, ExpectedFile
from engine.sources.request import Request
from engine.sources.selection import refuse_filter, wanted_files


def fetch(request: Request) -> Path:
    """Directory of the package's one model: a bundle, or a checkpoint with its config.

    Its files have the sizes and hashes of the installed package's record.

    Raises:
        SourceError: not installed, no model or several in it, or the bundle lacks what is wanted.
        IntegrityError: a file is missing, altered, or not in the record with its hash.
        ManifestError: the bundle's manifest can't be read.
    """
    name = request.location
    files = _files(name)
    root = _model_root(name, files)
    directory = Path(str(next(f for f in files if f.parent == root).locate())).parent
    for file in files:
        if root in file.parents:
            _check(name, file)
    if (directory / MANIFEST_NAME).is_file():
        wanted_files(ModelBundle.open(directory).manifest, request.files, str(directory))
    else:
        refuse_filter(request.files, str(directory))
    return directory


def _files(name: str) -> list[PackagePath]:
    try:
        distribution = importlib.metadata.distribution(name)
    except (importlib.metadata.PackageNotFoundError, ValueError) as exc:
        raise SourceError(
            f"The package {name!r} is not installed. Install it, or give another source."
        ) from exc
    return distribution.files or []


def _model_root(name: str, files: list[PackagePath]) -> PurePosixPath:
    weights = {file.parent for file in files if file.suffix == ".safetensors"}
    roots = {file.parent for file in files if file.name == MANIFEST_NAME} or {
        file.parent for file in files if file.name == "config.json" and file.parent in weights
    }
    if len(roots) != 1:
        found = ", ".join(sorted(map(str, roots))) or "none"
        raise SourceError(
            f"The record of the package {name!r} must list one directory with {MANIFEST_NAME}, "
            f"or with config.json and safetensors, but lists: {found}. Give the model's path."
        )
    return roots.pop()


def _check(name: str, file: PackagePath) -> None:
    if file.hash is None or file.hash.mode != "sha256" or file.size is None:
        raise IntegrityError(
            f"The record of the package {name!r} has no SHA-256 and size of {file}, so it can't "
            "be verified. Install the package from a wheel, or give the model's path."
        )
    value = base64.urlsafe_b64decode(file.hash.value + "=" * (-len(file.hash.value) % 4)).hex()
    try:
        ExpectedFile(str(file), file.size, Digest("sha256", value)).check(Path(str(file.locate())))
    except OSError as exc:
        raise SourceError(f"{file.locate()} can't be read: {exc.strerror or exc}.") from exc
    except IntegrityError as exc:
        raise IntegrityError(f"{exc.message} Install the package {name!r} anew.") from exc
