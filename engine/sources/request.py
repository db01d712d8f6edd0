"""What is asked of a fetcher."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from engine.model import FileRole

Progress: TypeAlias = Callable[[str], None]
"""Called with one line, without its end, at each step that takes time."""


@dataclass(frozen=True, slots=True)
class FileFilter:
    """Which files of a bundle are needed; None asks for all.

    A file is needed if its role is among `roles` and its precision is None or `precision`. From
    S3 and from the hub nothing else is fetched, and the local manifest lists nothing else. A role
    or a precision that the bundle lacks is an error, except for `onnx_data`, which a bundle has
    only where its ONNX file refers to it.
    """

    roles: frozenset[FileRole] | None = None
    precision: str | None = None


@dataclass(frozen=True, slots=True)
class S3Retry:
    """How requests to S3 are bounded. The wait is exponential with full jitter.

    The wait before attempt n + 1 is uniform in 0 <= seconds <= min(max, base * 2 ** (n - 1)):
    "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """

    attempts: int = 6
    """Attempts at one file; a broken stream goes on where it broke."""
    base_seconds: float = 0.5
    max_seconds: float = 20.0
    connect_timeout_seconds: float = 5.0
    read_timeout_seconds: float = 30.0
    """Longest silence within a stream."""
    sleep: Callable[[float], None] = time.sleep


@dataclass(frozen=True, slots=True)
class Request:
    """One source, its scheme cut off, and how it is to be had."""

    scheme: str
    location: str
    cache_directory: Path | None
    """The user's cache if None."""
    offline: bool
    files: FileFilter | None
    progress: Progress
    s3_retry: S3Retry

    @property
    def source(self) -> str:
        """The source in its full form, for messages and for the cache."""
        return f"{self.scheme}:{self.location}"
