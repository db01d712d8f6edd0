"""A path on this machine."""

from __future__ import annotations

from pathlib import Path

from engine.errors import SourceError
from engine.model import MANIFEST_NAME, ModelBundle
from engine.sources.request import Request
from engine.sources.selection import refuse_filter, wanted_files
from engine.user_cache import expand_home


def fetch(request: Request) -> Path:
    """The absolute path, if something is there; a bundle's files have their full sizes.

    Raises:
        ConfigurationError: it begins with a home directory that there is not.
        SourceError: nothing is there, or it can't be read, or the bundle lacks what is wanted.
        ManifestError: the bundle's manifest can't be read.
        IntegrityError: a file of the bundle is missing or has another size.
    """
    try:
        path = expand_home(request.location).absolute()
        if not path.exists():
            raise SourceError(
                f"There is nothing at {path}. Give the path of a bundle, or another source."
            )
        is_bundle = (path / MANIFEST_NAME).is_file()
    except OSError as exc:
        raise SourceError(f"{request.location} can't be read: {exc}.") from exc
    if is_bundle:
        wanted_files(ModelBundle.open(path).manifest, request.files, str(path))
    else:
        refuse_filter(request.files, str(path))
    return path
