from __future__ import annotations

from pathlib import Path

import pytest
import structlog

from functions.api_keys import ApiKey, KeyRing, parse_keys, ring_of_admins, ring_of_clients
from functions.settings import Settings, SettingsError


class _Clock:
    """Time that passes when told."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def pass_a_second(self) -> None:
        self.now += 1.0


def test_a_key_may_have_a_name_and_colons() -> None:
    assert [key.name for key in parse_keys(["alice:k", "bare", "ci:a:b"])] == [
        "alice",
        "key-2",
        "ci",
    ]
    assert KeyRing(["ci:a:b"]).name_of("a:b") == "ci"


@pytest.mark.parametrize("text", ["", "name:", "a b", "name:a\tb", "schl\u00fcssel", "a\x00"])
def test_a_key_that_no_header_can_hold_is_refused_without_showing_it(text: str) -> None:
    with pytest.raises(ValueError, match="visible ASCII") as caught:
        ApiKey.parse(text, "default")
    assert not text or text not in str(caught.value)


def test_every_key_opens_and_nothing_else_does() -> None:
    ring = KeyRing(["alice:one", "two"])
    found = [ring.name_of(key) for key in ("one", "two", "", "alice", "alice:one", "on", "one ")]
    assert found == ["alice", "key-2", None, None, None, None, None]


def test_two_keys_may_share_a_name() -> None:
    ring = KeyRing(["alice:old", "alice:new"])
    assert (ring.name_of("old"), ring.name_of("new")) == ("alice", "alice")


def test_a_ring_keeps_no_key() -> None:
    assert b"sesame" not in repr(parse_keys(["sesame"])).encode()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "keys"
    path.write_text("# who may ask\n\nalice:one\n  two  \n", "utf-8")
    return path


def _replace(file: Path, content: bytes) -> None:
    beside = file.with_suffix(".new")
    beside.write_bytes(content)
    beside.rename(file)


def test_a_file_has_a_key_a_line(file: Path) -> None:
    ring = KeyRing(["zero"], file)
    assert [ring.name_of(key) for key in ("zero", "one", "two", "# who may ask")] == [
        "key-1",
        "alice",
        "file-key-2",
        None,
    ]


def test_a_changed_file_is_read_anew_within_a_second(file: Path) -> None:
    clock = _Clock()
    ring = KeyRing((), file, clock)
    _replace(file, b"bob:three")
    assert (ring.name_of("one"), ring.name_of("three")) == ("alice", None)
    clock.pass_a_second()
    assert (ring.name_of("one"), ring.name_of("three")) == (None, "bob")


def test_an_emptied_file_lets_nobody_in(file: Path) -> None:
    clock = _Clock()
    ring = KeyRing((), file, clock)
    _replace(file, b"")
    clock.pass_a_second()
    assert ring.name_of("one") is None


@pytest.mark.parametrize("content", [b"a key with spaces", b"\xff", None])
def test_a_file_that_breaks_changes_nothing_and_is_logged_once(
    content: bytes | None, file: Path, logs: list[structlog.typing.EventDict]
) -> None:
    clock = _Clock()
    ring = KeyRing((), file, clock)
    if content is None:
        file.unlink()
    else:
        _replace(file, content)
    for _ in range(3):
        clock.pass_a_second()
        assert ring.name_of("one") == "alice"
    assert [line["event"] for line in logs] == ["API keys not read anew"]
    _replace(file, b"bob:three")
    clock.pass_a_second()
    assert ring.name_of("three") == "bob"


@pytest.mark.parametrize("content", [b"", b"# nothing\n", b"a b", b"\xff", None])
def test_a_file_without_a_usable_key_ends_the_start(content: bytes | None, tmp_path: Path) -> None:
    file = tmp_path / "keys"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SettingsError, match="API key file"):
        KeyRing((), file)


def test_an_unusable_key_ends_the_start() -> None:
    with pytest.raises(SettingsError, match="key-1 must have"):
        ring_of_clients(Settings(api_key=("a b",)))


def test_without_keys_there_are_no_rings() -> None:
    assert (ring_of_clients(Settings()), ring_of_admins(Settings())) == (None, None)


def test_the_admin_key_is_one_key_whatever_is_in_it() -> None:
    ring = ring_of_admins(Settings(admin_key="root:x"))
    assert ring is not None
    assert (ring.name_of("root:x"), ring.name_of("x")) == ("admin", None)
