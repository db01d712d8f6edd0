"""The Host of a request: one, a valid one, and the one that its target names if it names one."""

from __future__ import annotations

import httptools

from functions.hosts import parse_host
from functions.wire_errors import MalformedRequestError


def settle_host(url: bytes, headers: list[tuple[bytes, bytes]], http_version: str) -> None:
    """Check the Host header, and put there what an absolute target says (RFC 9112, section 3.2).

    HTTP/1.0 knows none: old probes, and HAProxy's, send none.

    Raises:
        MalformedRequestError: there is none, more than one, or one that is no host.
    """
    hosts = [value for name, value in headers if name == b"host"]
    if len(hosts) > 1:
        raise MalformedRequestError("The request has more than one Host header.")
    if not hosts:
        if http_version != "1.0":
            raise MalformedRequestError("The request has no Host header.")
    elif not _is_valid(hosts[0]) and (hosts[0] or http_version != "1.0"):
        raise MalformedRequestError("The Host header is not a host with or without a port.")
    if not url.startswith(b"/") and b"://" in url:
        headers[:] = [header for header in headers if header[0] != b"host"]
        headers.append((b"host", _host_of(url)))


def _host_of(url: bytes) -> bytes:
    parsed = httptools.parse_url(url)
    host = parsed.host or b""
    if b":" in host:
        host = b"[%b]" % host
    if parsed.port is not None:
        host += b":%d" % parsed.port
    if not _is_valid(host):
        raise MalformedRequestError("The request's target names no host.")
    return host


def _is_valid(host: bytes) -> bool:
    return parse_host(host.decode("latin-1")) is not None
