from __future__ import annotations

from pathlib import Path

import pytest

from engine.cgroup import cpu_share


def v2(group: Path, limit: str) -> None:
    group.mkdir(parents=True, exist_ok=True)
    (group / "cpu.max").write_text(limit)


def v1(group: Path, quota: str, period: str = "100000\n") -> None:
    group.mkdir(parents=True, exist_ok=True)
    (group / "cpu.cfs_quota_us").write_text(quota)
    (group / "cpu.cfs_period_us").write_text(period)


def share(mount: Path, *lines: str) -> float | None:
    membership = mount / "membership"
    membership.write_text("".join(f"{line}\n" for line in lines))
    return cpu_share(mount, membership)


def test_without_a_control_group_there_is_no_limit(tmp_path: Path) -> None:
    """Neither a mount nor a file that says in which group the process is."""
    assert cpu_share(tmp_path / "none", tmp_path / "none either") is None


@pytest.mark.parametrize(
    "text", ["max 100000\n", "rubbish", "", "100000", "5 0", "-1 100000", "\0"]
)
def test_no_limit_or_an_odd_one_is_none(tmp_path: Path, text: str) -> None:
    v2(tmp_path, text)
    assert share(tmp_path, "0::/") is None


def test_a_container_sees_its_limit_at_the_root(tmp_path: Path) -> None:
    v2(tmp_path, "150000 100000\n")
    assert share(tmp_path, "0::/") == 1.5


def test_the_own_group_limits(tmp_path: Path) -> None:
    """As of a service of systemd with `CPUQuota=`, which sees the whole tree."""
    v2(tmp_path / "system.slice/embellama.service", "50000 100000\n")
    v2(tmp_path / "system.slice/other.service", "10000 100000\n")
    assert share(tmp_path, "0::/system.slice/embellama.service") == 0.5


def test_the_smallest_limit_of_all_above_counts(tmp_path: Path) -> None:
    v2(tmp_path / "a/b/c", "300000 100000\n")
    v2(tmp_path / "a/b", "max 100000\n")
    v2(tmp_path / "a", "200000 100000\n")
    assert share(tmp_path, "0::/a/b/c") == 2.0


def test_a_group_outside_of_what_is_seen_leaves_the_root(tmp_path: Path) -> None:
    v2(tmp_path, "100000 100000\n")
    v2(tmp_path / "elsewhere", "50000 100000\n")
    assert share(tmp_path, "0::/../../elsewhere") == 1.0


def test_a_name_that_is_not_text_hides_no_limit(tmp_path: Path) -> None:
    v2(tmp_path, "100000 100000\n")
    membership = tmp_path / "membership"
    membership.write_bytes(b"1:name=\xff:/\xff\n0::/\xff/a\n")
    assert cpu_share(tmp_path, membership) == 1.0


@pytest.mark.parametrize("name", ["cpu", "cpu,cpuacct"])
def test_the_first_version_limits_too(tmp_path: Path, name: str) -> None:
    v1(tmp_path / name, "-1\n")
    v1(tmp_path / name / "walk", "50000\n")
    lines = ("3:memory:/other", f"2:{name}:/walk", "1:name=systemd:/", "0::/")
    assert share(tmp_path, *lines) == 0.5


def test_a_limit_of_the_second_version_comes_before_one_of_the_first(tmp_path: Path) -> None:
    v2(tmp_path, "300000 100000\n")
    v1(tmp_path / "cpu", "100000\n")
    assert share(tmp_path, "1:cpu:/", "0::/") == 3.0


@pytest.mark.parametrize(("quota", "period"), [("-1\n", "100000\n"), ("", ""), ("50000\n", "")])
def test_no_limit_of_the_first_version_or_an_odd_one_is_none(
    tmp_path: Path, quota: str, period: str
) -> None:
    v1(tmp_path / "cpu", quota, period)
    assert share(tmp_path, "1:cpu:/") is None


def test_a_file_that_cannot_be_read_is_no_limit(tmp_path: Path) -> None:
    (tmp_path / "cpu.max").mkdir()
    assert share(tmp_path, "odd", "0::/") is None
