from __future__ import annotations

import ctypes
import re
import subprocess
import sys
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


_LEARN_THEN_FREE = """
import re, sys
import numpy as np
from engine.memory import return_large_memory_at_once

if sys.argv[1] == "at once":
    return_large_memory_at_once()
large = np.ones(30_000_000, dtype=np.uint8)
del large  # from now on glibc keeps what is smaller than this
blocks = [np.ones(1_000_000, dtype=np.uint8) for _ in range(100)]
last = blocks.pop()  # above all others, so that they are not at the end of the heap
del blocks
print(re.search(r"VmRSS:\\s*(\\d+) kB", open("/proc/self/status").read())[1])
"""


def test_large_memory_is_returned_at_once_whatever_was_freed_before() -> None:
    """In processes of their own: 100 blocks of 1 MB are kept by default, and gone with it."""
    if not hasattr(ctypes.CDLL(None), "mallopt"):
        pytest.skip("not checked: the C library has no mallopt")
    by_default, at_once = (
        int(subprocess.check_output([sys.executable, "-c", _LEARN_THEN_FREE, how], text=True))
        for how in ("by default", "at once")
    )
    assert by_default - at_once > 80_000
