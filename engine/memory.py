"""Gives memory that was freed back to the system."""

from __future__ import annotations

import ctypes


def return_freed_memory() -> None:
    """Have the C library return what it holds free; nothing where it can't (musl, macOS).

    glibc keeps freed memory for the threads that freed it. Of ten models that are loaded one
    after the other, each on a thread of its own, it would keep half a model and more.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
