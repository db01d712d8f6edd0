"""The share of the CPUs that this process's control group allows. Linux; elsewhere, no limit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

_MOUNT = Path("/sys/fs/cgroup")
_MEMBERSHIP = Path("/proc/self/cgroup")
_V1_MOUNTS = ("cpu", "cpu,cpuacct")
_UNLIMITED = frozenset({"max", "-1"})


def cpu_share(mount: Path = _MOUNT, membership: Path = _MEMBERSHIP) -> float | None:
    """CPUs that the kernel grants, or None without a limit.

    The group of the process and all above it limit: the smallest counts. That of version 2 of the
    control groups, or where it has none, that of version 1. `membership` says in which group the
    process is; a container sees its own one as the root of `mount`.
    """
    v1, v2 = _groups(membership)
    found = [share for group in _upwards(mount, v2) for share in _v2_share(group)]
    if not found:
        roots = (mount / name for name in _V1_MOUNTS)
        found = [
            share for root in roots for group in _upwards(root, v1) for share in _v1_share(group)
        ]
    return min(found, default=None)


def _groups(membership: Path) -> tuple[str, str]:
    """The paths of the process's groups in version 1's controller `cpu` and in version 2."""
    v1 = v2 = "/"
    for line in _read(membership).splitlines():
        hierarchy, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if hierarchy == "0" and not controllers:
            v2 = path
        elif "cpu" in controllers.split(","):
            v1 = path
    return v1, v2


def _upwards(root: Path, path: str) -> Iterator[Path]:
    """The directories of a group and of those above it, up to the root.

    One that begins with `..` lies outside of what the process may see.
    """
    parts = [part for part in path.split("/") if part]
    if ".." in parts:
        parts = []
    for count in range(len(parts), -1, -1):
        yield root.joinpath(*parts[:count])


def _v2_share(group: Path) -> Iterator[float]:
    quota, _, period = _read(group / "cpu.max").strip().partition(" ")
    yield from _share(quota, period)


def _v1_share(group: Path) -> Iterator[float]:
    yield from _share(_read(group / "cpu.cfs_quota_us"), _read(group / "cpu.cfs_period_us"))


def _share(quota: str, period: str) -> Iterator[float]:
    """Nothing where there is no limit, or none that can be understood."""
    if quota.strip() not in _UNLIMITED:
        try:
            share = int(quota) / int(period)
        except (ValueError, ArithmeticError):
            return
        if share > 0:
            yield share


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8", "surrogateescape")
    except (OSError, ValueError):
        return ""
