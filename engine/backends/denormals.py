"""Numbers that are almost zero count as zero while a thread computes.

x86 processors take some hundred times as long for a sum or product with a denormal number (below
1.2e-38) as for another. The weights that attention gives to masked tokens are such numbers.
"""

from __future__ import annotations

import ctypes
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_ENVIRONMENT_WORDS = 8
"""What C calls fenv_t on x86-64 Linux: 7 words of the x87 unit, then MXCSR."""
_MXCSR = 7
_FLUSH_TO_ZERO = 1 << 15
_DENORMALS_ARE_ZERO = 1 << 6
_IS_SLOW_HERE = sys.platform == "linux" and platform.machine() == "x86_64"
_C = ctypes.PyDLL(None) if _IS_SLOW_HERE else None


@contextmanager
def denormals_as_zero() -> Iterator[None]:
    """Do so in this thread; nothing changes where that is not known to be needed."""
    if _C is None:
        yield
        return
    found = (ctypes.c_uint32 * _ENVIRONMENT_WORDS)()
    _C.fegetenv(found)
    wanted = type(found)(*found)
    wanted[_MXCSR] |= _FLUSH_TO_ZERO | _DENORMALS_ARE_ZERO
    _C.fesetenv(wanted)
    try:
        yield
    finally:
        _C.fesetenv(found)
