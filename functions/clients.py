"""Who asks: the name of the key, or else the address, also from behind proxies."""

from __future__ import annotations

import ipaddress
import re

from starlette.types import Scope

from functions.headers import headers_of
from functions.observability import record_of

_IPV6_SITE_BITS = 64
"""One subscriber has at least so large a network, so a single address says nothing."""
_WITH_PORT = re.compile(r"\[(?P<ipv6>[^]]+)\](:\d+)?|(?P<ipv4>\d+\.\d+\.\d+\.\d+):\d+")
_LONGEST = 64


def client_of(scope: Scope, trusted_proxy_hops: int) -> str:
    """What tells clients apart: `key:NAME`, or `address:ADDRESS`."""
    name = record_of(scope).fields.get("key_name")
    if name is not None:
        return f"key:{name}"
    return f"address:{_network(address_of(scope, trusted_proxy_hops))}"


def address_of(scope: Scope, trusted_proxy_hops: int) -> str:
    """The address that the outermost trusted proxy saw.

    Every proxy adds the address of who asked it at the end of X-Forwarded-For. So with N trusted
    ones, the Nth from the end is true, and what is left of it may be made up.
    """
    peer = scope.get("client")
    address = str(peer[0]) if peer else "unknown"
    if trusted_proxy_hops > 0:
        joined = ",".join(headers_of(scope, b"x-forwarded-for"))
        hops = [hop.strip() for hop in joined.split(",") if hop.strip()]
        if hops:
            address = hops[max(0, len(hops) - trusted_proxy_hops)]
    return address


def _network(address: str) -> str:
    """An IPv4 address, the network of an IPv6 one, or whatever else a proxy wrote."""
    match = _WITH_PORT.fullmatch(address)
    bare = (match["ipv6"] or match["ipv4"]) if match else address
    try:
        parsed = ipaddress.ip_address(bare)
    except ValueError:
        return address[:_LONGEST]
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((int(parsed), _IPV6_SITE_BITS), strict=False))
