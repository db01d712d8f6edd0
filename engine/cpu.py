"""How many CPUs this process may use: its affinity and its cgroup's share, not the host's cores."""

from __future__ import annotations

import math
import os
from pathlib import Path

_CGROUP_V2_LIMIT = Path("/sys/fs/cgroup/cpu.max")
_CGROUP_V1_QUOTA = Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us")
_CGROUP_V1_PERIOD = Path("/sys/fs/cgroup/cpu/cpu.cfs_period_us")


def available_cpus() -> int:
    """CPUs to plan threads for, at least 1; a share of 1.5 CPUs counts as 2."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    share = _cgroup_share()
    return max(1, min(affinity or 1, math.ceil(share) if share else affinity or 1))


def _cgroup_share() -> float | None:
    """CPUs that the cgroup allows (v2, else v1), or None without a limit."""
    try:
        quota, period = _CGROUP_V2_LIMIT.read_text("ascii").split()
    except (OSError, ValueError):
        try:
            quota = _CGROUP_V1_QUOTA.read_text("ascii").strip()
            period = _CGROUP_V1_PERIOD.read_text("ascii").strip()
        except OSError:
            return None
    if quota in ("max", "-1"):
        return None
    return int(quota) / int(period)
