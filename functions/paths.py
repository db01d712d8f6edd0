"""Paths as routes know them, and where the API begins: for clients whose base URL is a bit off."""

from __future__ import annotations

import re

from starlette.types import Scope

from functions.headers import header_of

API_PREFIX = "/v1"
_SLASHES = re.compile("/{2,}")
_REPEATED_PREFIX = re.compile(r"^(?:/v1)+(?=/v1(?:/|$))")
_HOST = re.compile(r"[A-Za-z0-9.:\[\]_-]{1,255}")


def normal_path(path: str) -> str:
    """The path with single slashes, none at its end, and `/v1` once at its begin.

    Clients whose base URL ends in a slash ask for `/v1//embeddings`; those that add `/v1` to a
    base URL that has it, for `/v1/v1/embeddings`. The id of a model keeps its inner slashes:
    `/v1/models//data/model` asks for the model that is called `/data/model`.
    """
    if "//" not in path and path[-1:] != "/" and not path.startswith("/v1/v1"):
        return path
    head, models, name = path.partition("/models/")
    name = name.rstrip("/")
    head = _SLASHES.sub("/", head if name else head + models).rstrip("/")
    head = _REPEATED_PREFIX.sub("", head)
    return f"{head}/models/{name}" if name else head or "/"


def base_url(scope: Scope) -> str:
    """What a client puts before `/embeddings`, as far as the request tells: with the host it asked.

    It is only ever told to the one who asked, so it may believe what a proxy says of the scheme.
    """
    prefix: str = scope.get("root_path", "") + API_PREFIX
    host = header_of(scope, b"host") or ""
    if not _HOST.fullmatch(host):
        return prefix
    is_https = scope["scheme"] == "https" or header_of(scope, b"x-forwarded-proto") == "https"
    return f"{'https' if is_https else 'http'}://{host}{prefix}"
