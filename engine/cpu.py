"""How many CPUs this process may use: its affinity and its cgroup's share, not the host's cores."""

from __future__ import annotations

import math
import os
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")


def available_cpus(cgroup: Path = _CGROUP) -> int:
    """CPUs to plan threads for, at least 1; a share of 1.5 CPUs counts as 2.

    `cgroup` is where the kernel shows this process's control group.
    """
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    share = _cgroup_share(cgroup)
    return max(1, min(affinity or 1, math.ceil(share) if share else affinity or 1))


def _cgroup_share(cgroup: Path) -> float | None:
    """CPUs that the cgroup allows (v2, else v1), or None without a limit."""
    try:
        quota, period = (cgroup / "cpu.max").read_text("ascii").split()
    except (OSError, ValueError):
        try:
            quota = (cgroup / "cpu/cpu.cfs_quota_us").read_text("ascii").strip()
            period = (cgroup / "cpu/cpu.cfs_period_us").read_text("ascii").strip()
        except OSError:
            return None
    if quota in ("max", "-1"):
        return None
    return int(quota) / int(period)
