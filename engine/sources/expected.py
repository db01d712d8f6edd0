"""A file as it should be, and the comparison with one that is there."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from engine.errors import IntegrityError
from engine.model_files import open_regular

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Digest:
    """A hash in hex digits: of the content, or of a git blob with it (git hashes a header too)."""

    algorithm: Literal["sha256", "git_sha1"]
    value: str

    def of(self, path: Path) -> str:
        """The same hash of a file."""
        if self.algorithm == "sha256":
            hasher = hashlib.sha256()
        else:
            hasher = hashlib.sha1(usedforsecurity=False)
            hasher.update(b"blob %d\0" % path.stat().st_size)
        with open_regular(path) as file:
            while chunk := file.read(_CHUNK_BYTES):
                hasher.update(chunk)
        return hasher.hexdigest()


@dataclass(frozen=True, slots=True)
class ExpectedFile:
    """A file that an entry must have; `path` is relative, with slashes."""

    path: str
    bytes: int
    digest: Digest

    def check(self, path: Path) -> None:
        """Compare a file with what is expected.

        Raises:
            IntegrityError: it is missing, short or altered.
        """
        try:
            size = path.stat().st_size
        except FileNotFoundError as exc:
            raise IntegrityError(f"{path} is missing.") from exc
        if size != self.bytes:
            raise IntegrityError(f"{path} has {size} bytes, but should have {self.bytes}.")
        actual = self.digest.of(path)
        if actual != self.digest.value:
            raise IntegrityError(
                f"{path} has the {self.digest.algorithm} {actual}, "
                f"but should have {self.digest.value}."
            )
