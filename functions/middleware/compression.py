"""Compresses answers for clients that say they can read it.

Level 1 everywhere: JSON of floats shrinks to 37 to 45 % at 100 to 270 MB/s, and higher levels
take 3 to 10 times as long for 2 to 5 % more. Base64 of floats shrinks to no less than the floats
themselves, so routes leave such an answer out.
"""

from __future__ import annotations

import asyncio
import gzip
import importlib
import threading
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from functions.headers import header_of, headers_of

Codec = Callable[[bytes], bytes]

_MIN_BYTES = 1024
_IN_THREAD_BYTES = 64 * 1024
"""From here on compressing takes about a millisecond, for which the event loop must not stand."""
_LEVEL = 1
_OFF_KEY = "embellama.no_compression"


def available_codecs() -> dict[str, Codec]:
    """What can be written here, by its name in headers, the best first."""
    codecs: dict[str, Codec] = {}
    zstandard, brotli = _import("zstandard"), _import("brotli")
    if zstandard is not None:
        codecs["zstd"] = _ThreadZstd(zstandard.ZstdCompressor)
    if brotli is not None:
        codecs["br"] = lambda body: brotli.compress(body, quality=_LEVEL)
    codecs["gzip"] = lambda body: gzip.compress(body, _LEVEL, mtime=0)
    return codecs


class _ThreadZstd(threading.local):
    """One for each thread: it can't be shared, and making it takes longer than its use."""

    def __init__(self, make: Callable[[int], Any]) -> None:
        self._compressor = make(_LEVEL)

    def __call__(self, body: bytes) -> bytes:
        compressed: bytes = self._compressor.compress(body)
        return compressed


def leave_uncompressed(scope: Scope) -> None:
    """Say that the answer to this request is not worth it."""
    scope[_OFF_KEY] = True


class CompressionMiddleware:
    """Compresses JSON and text of some size, sent in one piece."""

    def __init__(self, app: ASGIApp, codecs: Mapping[str, Codec] | None = None) -> None:
        self.app = app
        self.codecs = available_codecs() if codecs is None else codecs

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        accepted = ",".join(headers_of(scope, b"accept-encoding"))
        start: Message | None = None

        async def send_compressed(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                start = message  # Its headers depend on the body.
                return
            if start is not None:
                head, start = start, None
                if _is_worth_it(scope, head, message):
                    message = await self._compress(accepted, head, message)
                await send(head)
            await send(message)

        await self.app(scope, receive, send_compressed)

    async def _compress(self, accepted: str, head: Message, message: Message) -> Message:
        headers = MutableHeaders(scope=head)
        headers.add_vary_header("accept-encoding")
        name = choose_codec(accepted, tuple(self.codecs))
        if name is None:
            return message
        body: bytes = message["body"]
        if len(body) < _IN_THREAD_BYTES:
            compressed = self.codecs[name](body)
        else:
            compressed = await asyncio.to_thread(self.codecs[name], body)
        headers["content-encoding"] = name
        headers["content-length"] = str(len(compressed))
        return {**message, "body": compressed}


@lru_cache(maxsize=256)
def choose_codec(accepted: str, offered: tuple[str, ...]) -> str | None:
    """The offered name that Accept-Encoding likes best; at equal liking the first offered.

    None if the client likes the plain body as well or better, or says nothing (RFC 9110, 12.5.3).
    """
    liking = _parse_liking(accepted)
    rest = liking.get("*", 0.0)
    best = max(offered, key=lambda name: liking.get(name, rest), default=None)
    if best is None:
        return None
    wanted = liking.get(best, rest)
    return best if wanted > 0 and wanted >= liking.get("identity", 0.0) else None


def _parse_liking(accepted: str) -> dict[str, float]:
    liking: dict[str, float] = {}
    for part in accepted.split(","):
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        weight = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                try:
                    weight = min(1.0, max(0.0, float(parameter[2:])))
                except ValueError:
                    weight = 0.0
        if name:
            liking[{"x-gzip": "gzip"}.get(name, name)] = weight
    return liking


def _is_worth_it(scope: Scope, head: Message, message: Message) -> bool:
    media_type = (header_of(head, b"content-type") or "").split(";")[0]
    return (
        _OFF_KEY not in scope
        and not message.get("more_body", False)
        and len(message.get("body", b"")) >= _MIN_BYTES
        and (media_type == "application/json" or media_type.startswith("text/"))
        and header_of(head, b"content-encoding") is None
    )


def _import(name: str) -> Any | None:  # noqa: ANN401 - a module of an extra, without types
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        return None
