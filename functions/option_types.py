"""Types of options that hold several values: a list in a file, a repeated flag, commas."""

from __future__ import annotations

import ipaddress
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, SecretStr
from pydantic_settings import NoDecode


def _split(value: object) -> object:
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


Strings = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
"""Several texts; in the environment with commas between them."""


def _bare_host(host: str) -> str:
    """An IPv6 address may be written as in a URL: [::1]."""
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if ":" not in bare and bare == host:
        return host
    try:
        return str(ipaddress.IPv6Address(bare))
    except ValueError:
        raise ValueError(f"{host} is no address; the port is an option of its own") from None


Hosts = Annotated[
    tuple[Annotated[str, AfterValidator(_bare_host)], ...], NoDecode, BeforeValidator(_split)
]
"""Addresses and names of hosts."""

Secrets = Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(_split)]
"""Several texts that no log may show."""
