"""How the C library keeps memory: by default it holds much that was freed."""

from __future__ import annotations

import ctypes

_ARENA_MAX, _MMAP_THRESHOLD = -8, -3
"""Numbers of glibc's `mallopt`."""
_LARGE_BYTES = 512 * 1024
"""Weights of models and answers of many vectors are larger; what a run computes is smaller."""
_ARENAS = 4


def return_large_memory_at_once() -> None:
    """Have the C library return what is large as soon as it is freed; for a process that serves.

    glibc learns from what is freed to keep larger and larger pieces, each thread in an arena of
    its own: a server whose model is loaded anew again and again grows to three times its size.
    Nothing where the C library has no such options (musl, macOS).
    """
    options = getattr(ctypes.CDLL(None), "mallopt", None)
    if options is not None:
        options(_MMAP_THRESHOLD, _LARGE_BYTES)
        options(_ARENA_MAX, _ARENAS)


def return_freed_memory() -> None:
    """Have the C library return what it holds free; nothing where it can't (musl, macOS).

    glibc keeps freed memory for the threads that freed it. Of ten models that are loaded one
    after the other, each on a thread of its own, it would keep half a model and more.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
