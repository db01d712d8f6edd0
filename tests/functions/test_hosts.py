from __future__ import annotations

import pytest

from functions.hosts import AllowedHosts, Host, parse_host
from functions.settings import Settings


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("example.org", Host("example.org", None, is_address=False)),
        ("Example.ORG:8080", Host("example.org", 8080, is_address=False)),
        ("example.org.", Host("example.org", None, is_address=False)),
        ("example.org:", Host("example.org", None, is_address=False)),
        ("my_service", Host("my_service", None, is_address=False)),
        ("192.0.2.1:80", Host("192.0.2.1", 80, is_address=True)),
        ("[::1]:8080", Host("::1", 8080, is_address=True)),
        ("[::FFFF:192.0.2.1]", Host("::ffff:192.0.2.1", None, is_address=True)),
        ("a" * 255 + ":65535", Host("a" * 255, 65535, is_address=False)),
    ],
)
def test_a_host_is_read(value: str, expected: Host) -> None:
    assert parse_host(value) == expected


@pytest.mark.parametrize(
    "value",
    [
        "", " ", "a b", "a/b", "a@b", "a?b", "a#b", "a\\b", "a:b", "a:65536", "a:-1", "a:1:2",
        ":80", "::1", "[::1", "::1]", "[]", "[a]", "[1.2.3.4]", "[::1]x", "[fe80::1%25eth0]",
        "a,b c", "\xe4", "a\x00", "a" * 1000,
    ],
)  # fmt: skip
def test_what_is_no_host_is_none(value: str) -> None:
    assert parse_host(value) is None


@pytest.mark.parametrize(
    ("patterns", "allowed", "refused"),
    [
        (
            ["a.org"],
            ["a.org", "A.org:1", "a.org."],
            ["b.a.org", "xa.org", "a.org.evil", "127.0.0.1"],
        ),
        (["a.org:81"], ["a.org:81"], ["a.org", "a.org:82"]),
        (["a.org:443"], ["a.org:443", "a.org"], ["a.org:80"]),
        (["*.a.org"], ["b.a.org", "c.b.a.org:9"], ["a.org", "xa.org", ".a.org.evil"]),
        ([".a.org:81"], ["a.org:81", "b.a.org:81"], ["a.org", "b.a.org:82"]),
        (["[::1]"], ["[::1]", "[::1]:8080"], ["[::2]", "localhost"]),
        (["::1", "127.0.0.1"], ["[::1]:1", "127.0.0.1:1"], ["127.0.0.2"]),
        (["*"], ["a", "[::1]:8080"], []),
    ],
)
def test_patterns_say_which_hosts_are_allowed(
    patterns: list[str], allowed: list[str], refused: list[str]
) -> None:
    hosts = AllowedHosts(patterns)
    found = {value: parse_host(value) for value in allowed + refused}
    assert [value for value, host in found.items() if host and hosts.has(host)] == allowed


@pytest.mark.parametrize("pattern", ["a b", "https://a.org", "a.*", "*.*.org", "", ".", "*a.org:x"])
def test_a_pattern_that_is_no_host_is_refused_at_the_start(pattern: str) -> None:
    with pytest.raises(ValueError, match="is no host"):
        Settings(allowed_host=(pattern,))
