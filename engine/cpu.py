"""The CPUs of this process: how many it may use, by affinity and cgroup, and what they can do."""

from __future__ import annotations

import math
import os
import platform
import re
from collections.abc import Callable, Collection
from pathlib import Path

from engine.cgroup import cpu_share

_CPUINFO = Path("/proc/cpuinfo")
_BF16_FLAGS = frozenset({"amx_bf16", "avx512_bf16"})
_INT8_FLAGS = frozenset({"amx_int8", "avx512_vnni", "avx_vnni"})
_X86 = frozenset({"x86_64", "amd64", "i386", "i686"})


def available_cpus(share: Callable[[], float | None] = cpu_share) -> int:
    """CPUs to plan threads for, at least 1; a share of 1.5 CPUs counts as 2."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    allowed = share()
    return max(1, min(affinity or 1, math.ceil(allowed) if allowed else affinity or 1))


def has_bf16(cpuinfo: Path = _CPUINFO) -> bool:
    """Whether the CPU multiplies in bfloat16; False where the kernel does not say so."""
    return not _BF16_FLAGS.isdisjoint(_flags(cpuinfo))


def has_exact_int8(cpuinfo: Path = _CPUINFO, machine: str | None = None) -> bool:
    """Whether the CPU sums products of 8-bit numbers in 32 bits.

    An x86 CPU without such an instruction sums pairs of them in 16 bits, which overflow; every
    Arm CPU is exact. False on x86 where the kernel does not say so.
    """
    if (machine or platform.machine()).lower() not in _X86:
        return True
    return not _INT8_FLAGS.isdisjoint(_flags(cpuinfo))


def _flags(cpuinfo: Path) -> Collection[str]:
    try:
        found = re.search(r"^flags\s*:(.*)$", cpuinfo.read_text("utf-8"), re.MULTILINE)
    except OSError:
        return ()
    return found[1].split() if found else ()
