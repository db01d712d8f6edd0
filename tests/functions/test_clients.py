from __future__ import annotations

import pytest
from starlette.types import Scope

from functions.clients import client_of
from functions.observability import start_record


def _scope(*forwarded: str, peer: str | None = "10.0.0.1") -> Scope:
    scope: Scope = {
        "type": "http",
        "headers": [(b"x-forwarded-for", value.encode()) for value in forwarded],
        "client": None if peer is None else (peer, 1234),
    }
    start_record(scope, "r")
    return scope


def test_a_client_with_a_key_is_known_by_its_name() -> None:
    scope = _scope("1.1.1.1")
    start_record(scope, "r").fields["key_name"] = "alice"
    assert client_of(scope, 1) == "key:alice"


@pytest.mark.parametrize(
    ("forwarded", "hops", "address"),
    [
        ((), 0, "10.0.0.1"),
        ((), 1, "10.0.0.1"),
        (("6.6.6.6",), 0, "10.0.0.1"),
        (("6.6.6.6, 1.1.1.1",), 1, "1.1.1.1"),
        (("6.6.6.6, 1.1.1.1, 10.0.0.2",), 2, "1.1.1.1"),
        (("6.6.6.6", "1.1.1.1,10.0.0.2"), 2, "1.1.1.1"),
        (("1.1.1.1",), 2, "1.1.1.1"),
        (("1.1.1.1:5000",), 1, "1.1.1.1"),
        (("[2001:db8::1]:5000",), 1, "2001:db8::/64"),
        (("2001:db8::2",), 1, "2001:db8::/64"),
        (("::ffff:1.1.1.1",), 1, "1.1.1.1"),
        (("unknown",), 1, "unknown"),
        (("x" * 1000,), 1, "x" * 64),
        ((" , ",), 1, "10.0.0.1"),
    ],
)
def test_only_what_trusted_proxies_wrote_is_believed(
    forwarded: tuple[str, ...], hops: int, address: str
) -> None:
    assert client_of(_scope(*forwarded), hops) == f"address:{address}"


@pytest.mark.parametrize(
    ("peer", "address"),
    [("::ffff:10.0.0.1", "10.0.0.1"), ("2001:db8::1", "2001:db8::/64"), ("::1", "::/64")],
)
def test_a_peer_on_ipv6_counts_by_its_network(peer: str, address: str) -> None:
    assert client_of(_scope(peer=peer), 0) == f"address:{address}"


def test_a_client_without_an_address_is_unknown() -> None:
    assert client_of(_scope(peer=None), 0) == "address:unknown"
