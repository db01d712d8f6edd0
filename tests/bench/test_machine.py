"""What counts as a process's own memory: a leak has to show in it, a file's pages not."""

from __future__ import annotations

import mmap
import os
import sys
from pathlib import Path

import pytest

from tests.bench.machine import anonymous_mb, resident_mb

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

_BYTES = 64_000_000
_MB = _BYTES / 1e6
_SLACK_MB = 8  # what the interpreter allocates meanwhile


def test_what_is_allocated_and_written_is_anonymous() -> None:
    before = anonymous_mb(os.getpid())
    held = bytearray(b"\1") * _BYTES
    assert anonymous_mb(os.getpid()) - before > _MB - _SLACK_MB
    del held


def test_pages_of_a_mapped_file_are_resident_but_not_anonymous(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"\1" * _BYTES)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        anonymous, resident = anonymous_mb(os.getpid()), resident_mb(os.getpid())
        assert sum(mapped[:: mmap.PAGESIZE]) == -(-_BYTES // mmap.PAGESIZE)
        assert resident_mb(os.getpid()) - resident > _MB - _SLACK_MB
        assert anonymous_mb(os.getpid()) - anonymous < _SLACK_MB
