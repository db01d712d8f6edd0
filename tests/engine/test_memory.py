from __future__ import annotations

import ctypes
import re
from pathlib import Path

import numpy as np
import pytest

from engine.memory import return_freed_memory

BLOCKS, BLOCK_BYTES = 2000, 50_000


def test_what_was_freed_is_returned() -> None:
    """Blocks below the size that glibc maps one by one, with one in use behind them."""
    if not hasattr(ctypes.CDLL(None), "malloc_trim"):
        pytest.skip("not checked: the C library has no malloc_trim")
    blocks = [np.ones(BLOCK_BYTES, dtype=np.uint8) for _ in range(BLOCKS)]
    last = np.ones(BLOCK_BYTES, dtype=np.uint8)
    del blocks
    before = _resident_bytes()
    return_freed_memory()
    assert before - _resident_bytes() > BLOCKS * BLOCK_BYTES / 2
    assert last.all()


def _resident_bytes() -> int:
    found = re.search(r"VmRSS:\s*(\d+) kB", Path("/proc/self/status").read_text("utf-8"))
    if found is None:
        pytest.skip("not checked: /proc/self/status has no VmRSS")
    return int(found[1]) * 1024
