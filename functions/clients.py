"""Who asks: the name of the key, or else the address, also from behind proxies."""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache

from starlette.types import Scope

from functions.headers import headers_of
from functions.observability import record_of

_IPV6_SITE_BITS = 64
"""One subscriber has at least so large a network, so a single address says nothing."""
_WITH_PORT = re.compile(r"\[(?P<ipv6>[^]]+)\](:\d+)?|(?P<ipv4>\d+\.\d+\.\d+\.\d+):\d+")
_NOT_VISIBLE = re.compile(r"[^\x21-\x7e]")
_LONGEST = 64
_REMEMBERED = 4096
"""Addresses whose parsing is remembered: it takes as long as a log line."""


def client_of(scope: Scope, trusted_proxy_hops: int) -> str:
    """What tells clients apart: `key:NAME`, or `address:ADDRESS`."""
    name = record_of(scope).fields.get("key_name")
    if name is not None:
        return f"key:{name}"
    return f"address:{_parsed(_seen(scope, trusted_proxy_hops))[1]}"


def address_of(scope: Scope, trusted_proxy_hops: int) -> str:
    """The address that the outermost trusted proxy saw, without a port, fit for a log.

    Every proxy adds the address of who asked it at the end of X-Forwarded-For. So with N trusted
    ones, the Nth from the end is true, and what is left of it may be made up.
    """
    return _parsed(_seen(scope, trusted_proxy_hops))[0]


def _seen(scope: Scope, trusted_proxy_hops: int) -> str:
    """What a trusted proxy or the kernel says, cut short: it may be no address at all."""
    peer = scope.get("client")
    address = str(peer[0]) if peer else "unknown"
    if trusted_proxy_hops > 0:
        joined = ",".join(headers_of(scope, b"x-forwarded-for"))
        hops = [hop.strip() for hop in joined.split(",") if hop.strip()]
        if hops:
            address = hops[max(0, len(hops) - trusted_proxy_hops)]
    return address[:_LONGEST]


@lru_cache(_REMEMBERED)
def _parsed(address: str) -> tuple[str, str]:
    """The address alone, and what a client counts by: itself on IPv4, its network on IPv6.

    What is no address stays as a proxy wrote it, but for characters that a terminal would obey.
    """
    match = _WITH_PORT.fullmatch(address)
    bare = (match["ipv6"] or match["ipv4"]) if match else address
    try:
        parsed = ipaddress.ip_address(bare)
    except ValueError:
        visible = _NOT_VISIBLE.sub("?", address)
        return visible, visible
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed), str(parsed)
    network = ipaddress.ip_network((int(parsed), _IPV6_SITE_BITS), strict=False)
    return str(parsed), str(network)
