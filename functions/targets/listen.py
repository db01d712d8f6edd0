"""The sockets that the server listens on: one for each address, all on one port."""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from engine.errors import ConfigurationError
from functions.observability import get_logger

_BACKLOG = 2048
_ANY_IPV4, _ANY = "0.0.0.0", "::"  # noqa: S104 - asked for by `::`
_STANDS_FOR = {_ANY: (_ANY_IPV4, _ANY), "localhost": ("127.0.0.1", "::1")}
"""Addresses of both families, as two sockets: one that takes both, which not every system has,
shows IPv4 clients as `::ffff:192.0.2.1`."""
_ABSENT = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL})
_PORT_TRIALS = 32
"""How many free ports are tried where every address is to get the same."""


@dataclass(frozen=True, slots=True)
class _Address:
    """What `bind` takes, without the port."""

    family: socket.AddressFamily
    host: str
    scope: int = 0
    """Number of the network interface of a link-local IPv6 address."""

    def listen(self, port: int) -> socket.socket:
        """Listen; an IPv6 address takes no IPv4 clients."""
        is_ipv6 = self.family is socket.AF_INET6
        where = (self.host, port, 0, self.scope) if is_ipv6 else (self.host, port)
        return socket.create_server(where, family=self.family, backlog=_BACKLOG)

    def is_absent(self) -> bool:
        """Whether this machine has no such address, as where IPv6 is switched off."""
        try:
            self.listen(0).close()
        except OSError as exc:
            return exc.errno in _ABSENT
        return False


def listen(hosts: Sequence[str], port: int) -> list[socket.socket]:
    """Listen on every address of these hosts; where the port is 0, on one free port.

    `::` is every address of both families, `localhost` 127.0.0.1 and ::1, and another name what it
    resolves to. Where a host has several addresses, those that this machine lacks are left out
    with a line in the log.

    Raises:
        ConfigurationError: an address can't be listened on.
    """
    addresses = list(dict.fromkeys(found for host in hosts for found in _here(host)))
    trials = _PORT_TRIALS if port == 0 and len(addresses) > 1 else 1
    while True:
        trials -= 1
        with ExitStack() as opened:
            listeners: list[socket.socket] = []
            for address in addresses:
                common = listeners[0].getsockname()[1] if listeners else port
                try:
                    listeners.append(opened.enter_context(address.listen(common)))
                except OSError as exc:
                    if trials and exc.errno == errno.EADDRINUSE:
                        break
                    raise ConfigurationError(
                        f"Can't listen on {address.host}, port {common}: {exc.strerror or exc}."
                    ) from exc
            else:
                opened.pop_all()
                return listeners


def is_loopback_only(listeners: Sequence[socket.socket]) -> bool:
    """Whether nothing but this machine itself can reach any of these sockets."""
    hosts = (str(listener.getsockname()[0]).partition("%")[0] for listener in listeners)
    return all(ipaddress.ip_address(host).is_loopback for host in hosts)


def _here(host: str) -> list[_Address]:
    """The addresses of a host, but for those that this machine lacks if it has others."""
    names = _STANDS_FOR.get(host.lower(), (host,))
    found = [address for name in names for address in _resolve(name)]
    absent = [address for address in found if len(found) > 1 and address.is_absent()]
    if len(absent) == len(found):
        return found  # Listening says what is wrong.
    for address in absent:
        get_logger().warning("address left out", host=address.host, asked=host)
    return [address for address in found if address not in absent]


def _resolve(host: str) -> list[_Address]:
    """The addresses of a host, IPv4 before IPv6."""
    try:
        rows = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as exc:
        raise ConfigurationError(
            f"Can't listen on {host}: it is no address, and no name that resolves to one."
        ) from exc
    found = {
        _Address(family, str(where[0]), int(where[3]) if len(where) > 3 else 0)
        for family, _, _, _, where in rows
    }
    return sorted(found, key=lambda address: (address.family is socket.AF_INET6, address.host))
