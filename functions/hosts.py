"""Names that a server is asked by: what a Host header may be, and which of them are allowed."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

_HOST = re.compile(
    r"(?:\[(?P<ipv6>[0-9A-Fa-f:.]+)\]|(?P<name>[A-Za-z0-9._~!$&'()*+,;=%-]+))(?::(?P<port>\d{0,5}))?"
)
_LONGEST = 262
"""A name of 255 characters (RFC 1035), and a port."""
_LAST_PORT = 65535
_DEFAULT_PORTS = frozenset({80, 443})
"""Of HTTP and HTTPS: a proxy may have ended TLS, so either may be meant where none is said."""


@dataclass(frozen=True, slots=True)
class Host:
    """A name in lower case, or an address without brackets; the port is None if none was said."""

    name: str
    port: int | None
    is_address: bool

    @property
    def is_of_this_machine(self) -> bool:
        """Whether it is an address, or a name that no name server is asked for (RFC 6761, 6.3).

        A page can't be given another address behind one of these, as it can behind its own name.
        """
        return self.is_address or self.name == "localhost" or self.name.endswith(".localhost")


@lru_cache(maxsize=256)
def _parse(value: str) -> Host | None:
    match = _HOST.fullmatch(value)
    if match is None:
        return None
    port = int(match["port"]) if match["port"] else None
    if port is not None and port > _LAST_PORT:
        return None
    name = (match["ipv6"] or match["name"]).lower()
    is_address = _is_address(name)
    if match["ipv6"] and not (is_address and ":" in name):
        return None
    return Host(name.removesuffix(".") or name, port, is_address)


def parse_host(value: str) -> Host | None:
    """A host with or without a port (RFC 3986, 3.2.2); None if it is none, or has no name."""
    return _parse(value) if len(value) <= _LONGEST else None


class AllowedHosts:
    """Those that the operator names, each with or without a port.

    `*.example.org` stands for all names below example.org, `.example.org` for that name too, and
    `*` for any.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        self._is_any = False
        self._exact: set[tuple[str, int | None]] = set()
        self._below: list[tuple[str, int | None]] = []
        for pattern in patterns:
            self._add(pattern)

    def _add(self, pattern: str) -> None:
        if pattern == "*":
            self._is_any = True
            return
        is_bare_ipv6 = pattern.count(":") > 1 and not pattern.startswith("[")
        host = parse_host(f"[{pattern}]" if is_bare_ipv6 else pattern.removeprefix("*").lstrip("."))
        if host is None or "*" in host.name:
            raise ValueError(
                f"{pattern!r} is no host; say a name such as example.org, *.example.org or [::1], "
                "with a port or without"
            )
        if pattern.startswith(("*", ".")):
            self._below.append((f".{host.name}", host.port))
        if not pattern.startswith("*"):
            self._exact.add((host.name, host.port))

    def has(self, host: Host) -> bool:
        """Whether this is one of them."""
        ports = {host.port} if host.port is not None else _DEFAULT_PORTS
        return (
            self._is_any
            or (host.name, None) in self._exact
            or any((host.name, port) in self._exact for port in ports)
            or any(
                host.name.endswith(below) and (port is None or port in ports)
                for below, port in self._below
            )
        )


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
