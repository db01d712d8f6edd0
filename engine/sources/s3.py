"""A bundle below `s3://bucket/prefix`.

The manifest at the source decides, at each start, what the bundle is: it is fetched first, and an
entry of the cache with this very manifest is used without any further request. Publish a bundle by
writing its manifest last.
"""

from __future__ import annotations

import re
from pathlib import Path

from engine.errors import SourceError
from engine.model import MANIFEST_NAME
from engine.model_files import MAX_MANIFEST_BYTES
from engine.sources.cache import Cache
from engine.sources.expected import ExpectedFile
from engine.sources.request import Request
from engine.sources.selection import bundle_snapshot

_LOCATION = re.compile(r"//(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(/(?P<prefix>.*))?")


def fetch(request: Request) -> Path:
    """Directory of the wanted files in the cache.

    Raises:
        SourceError: no such bundle, no access, no network, or the cache can't be written.
        IntegrityError: an object is not what the manifest says.
        ManifestError: the manifest is not valid.
    """
    match = _LOCATION.fullmatch(request.location)
    if match is None:
        raise SourceError(
            f"{request.source!r} is not of the form s3://BUCKET/PREFIX, with a bucket's name in "
            "lower case. Give the prefix that has the manifest.json."
        )
    prefix = (match["prefix"] or "").strip("/")
    cache = Cache(request)
    if request.offline:
        return cache.offline()
    from engine.sources.s3_objects import S3Objects

    with S3Objects(match["bucket"], prefix, request.s3_retry, request.progress) as objects:
        text = objects.read(MANIFEST_NAME, max_bytes=MAX_MANIFEST_BYTES)
        snapshot = bundle_snapshot(text, where=objects.url, files=request.files)

        def download(file: ExpectedFile, destination: Path) -> None:
            request.progress(f"fetching {objects.url}/{file.path} ({file.bytes} bytes) ...")
            objects.download(file, destination)

        return cache.obtain(snapshot, download)
