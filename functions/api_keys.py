"""API keys: each has a name, which may be logged; the key itself is kept as a hash only."""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from functions.observability import get_logger
from functions.settings import Settings, SettingsError

_NAMED = re.compile(r"(?P<name>[A-Za-z0-9_.-]{1,64}):(?P<key>.*)")
_SENDABLE = re.compile(r"[\x21-\x7e]+")
_CHECK_SECONDS = 1.0
"""How old the knowledge about the file may be."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key: its name and the SHA-256 of what a client sends."""

    name: str
    digest: bytes

    @classmethod
    def parse(cls, text: str, default_name: str) -> Self:
        """Read `name:key`, or a bare key, which gets the default name.

        Raises:
            ValueError: no client could send it in a header; the message does not hold the key.
        """
        named = _NAMED.fullmatch(text)
        name, key = (named["name"], named["key"]) if named else (default_name, text)
        if not _SENDABLE.fullmatch(key):
            raise ValueError(
                f"the key {name} must have one or more visible ASCII characters and no spaces"
            )
        return cls(name, _digest(key))


def parse_keys(texts: Iterable[str], default_name: str = "key") -> tuple[ApiKey, ...]:
    """Read keys; bare ones are named by their place: `key-1`, `key-2`.

    Raises:
        ValueError: see `ApiKey.parse`.
    """
    return tuple(
        ApiKey.parse(text, f"{default_name}-{place}") for place, text in enumerate(texts, 1)
    )


class KeyRing:
    """All keys that open a door. Those in the file are read anew when the file has changed.

    The file is looked at once a second at most, and only when somebody asks. A changed file that
    can't be read or has a bad line changes nothing and is logged; an empty one takes all its keys
    away. So write a new file beside it and rename that. Two keys of one name are one client to
    the rate limits, which lets a key be replaced without a gap.

    Raises:
        SettingsError: a key can't be sent in a header, or the file can't be read or has no key.
    """

    def __init__(
        self,
        keys: Sequence[str] = (),
        file: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        try:
            self._keys = parse_keys(keys)
        except ValueError as exc:
            raise SettingsError(f"An API key can't be used: {exc}.") from exc
        self._file = file
        self._clock = clock
        self._file_keys: tuple[ApiKey, ...] = ()
        self._stamp: tuple[int, ...] | None = None
        if file is not None:
            self._stamp = _stamp(file)
            self._file_keys = _first_keys(file)
        self._check_at = clock() + _CHECK_SECONDS

    def name_of(self, presented: str) -> str | None:
        """The name of the key that was sent, or None. Takes as long for any answer."""
        self._refresh()
        digest = _digest(presented)
        found: str | None = None
        for key in (*self._keys, *self._file_keys):
            if hmac.compare_digest(key.digest, digest):
                found = found or key.name
        return found

    def _refresh(self) -> None:
        if self._file is None or self._clock() < self._check_at:
            return
        self._check_at = self._clock() + _CHECK_SECONDS
        stamp = _stamp(self._file)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._file_keys = _read(self._file)
        except (OSError, ValueError) as exc:
            get_logger().error("API keys not read anew", reason=_reason(exc))
        else:
            get_logger().info("API keys read anew", keys=len(self._file_keys))


def ring_of_clients(settings: Settings) -> KeyRing | None:
    """The keys for everything but /admin; None where anybody may ask."""
    if not settings.api_key and settings.api_key_file is None:
        return None
    keys = [key.get_secret_value() for key in settings.api_key]
    return KeyRing(keys, settings.api_key_file)


def ring_of_admins(settings: Settings) -> KeyRing | None:
    """The key for /admin; None where that does not exist."""
    key = settings.admin_key
    return None if key is None else KeyRing([f"admin:{key.get_secret_value()}"])


def _first_keys(file: Path) -> tuple[ApiKey, ...]:
    try:
        keys = _read(file)
    except (OSError, ValueError) as exc:
        raise SettingsError(f"The API key file {file} can't be used: {_reason(exc)}.") from exc
    if not keys:
        raise SettingsError(f"The API key file {file} has no key.")
    return keys


def _read(file: Path) -> tuple[ApiKey, ...]:
    """The keys in a file: one a line; empty lines and those that begin with # are skipped."""
    lines = [line.strip() for line in file.read_text("utf-8").splitlines()]
    return parse_keys([line for line in lines if line and not line.startswith("#")], "file-key")


def _stamp(file: Path) -> tuple[int, ...] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _reason(exc: OSError | ValueError) -> str:
    if isinstance(exc, OSError):
        return exc.strerror or type(exc).__name__
    return "it is not UTF-8" if isinstance(exc, UnicodeDecodeError) else str(exc)


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
