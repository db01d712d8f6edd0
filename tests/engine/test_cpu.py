from __future__ import annotations

import importlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from engine.cpu import available_cpus, has_bf16, has_exact_int8
from tests.other_cpu import VARIABLE as OTHER_CPU

if not hasattr(os, "sched_setaffinity"):
    pytest.skip("Affinity and control groups exist on Linux only.", allow_module_level=True)

ALL = len(os.sched_getaffinity(0))


def test_without_a_limit_the_affinity_counts() -> None:
    """No limit means all CPUs that the process may run on."""
    assert ALL == available_cpus(lambda: None)


@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_up_to_one_cpu_is_one(share: float) -> None:
    """A share below one CPU still needs one thread."""
    assert 1 == available_cpus(lambda: share)


@pytest.mark.skipif(ALL < 2, reason="not checked on one CPU: a share of 1.5 CPUs counts as 2")
def test_a_broken_share_is_rounded_up() -> None:
    """A share of 1.5 CPUs counts as 2."""
    assert 2 == available_cpus(lambda: 1.5)


def test_a_share_above_the_affinity_adds_no_cpus() -> None:
    """The smaller of both counts."""
    assert ALL == available_cpus(lambda: 999.0)


def test_the_affinity_limits() -> None:
    """A process that is pinned to one CPU plans for one."""

    def pinned() -> int:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        return available_cpus(lambda: None)

    with ThreadPoolExecutor(1) as threads:
        assert 1 == threads.submit(pinned).result()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("flags\t\t: fpu avx512f amx_bf16\n", True),
        ("flags\t\t: fpu avx512_bf16\n", True),
        ("flags\t\t: fpu avx512f avx512_vnni\n", False),
        ("Features\t: bf16\n", False),
    ],
)
def test_bf16_is_what_the_kernel_says(tmp_path: Path, text: str, expected: bool) -> None:
    """Only the instructions of x86 count: the runtime that uses them is not measured elsewhere."""
    (tmp_path / "cpuinfo").write_text(text)
    assert has_bf16(tmp_path / "cpuinfo") is expected


def test_a_machine_without_cpuinfo_has_no_bf16(tmp_path: Path) -> None:
    assert not has_bf16(tmp_path / "none")


@pytest.mark.parametrize(
    ("machine", "text", "expected"),
    [
        ("x86_64", "flags\t\t: fpu avx2 avx512f avx512_vnni\n", True),
        ("AMD64", "flags\t\t: fpu avx2 avx_vnni\n", True),
        ("x86_64", "flags\t\t: fpu avx2 avx512f\n", False),
        ("x86_64", "", False),
        ("aarch64", "Features\t: fp asimd\n", True),
        ("arm64", "", True),
    ],
)
def test_int8_is_exact_on_arm_and_where_x86_sums_in_32_bits(
    tmp_path: Path, machine: str, text: str, expected: bool
) -> None:
    (tmp_path / "cpuinfo").write_text(text)
    assert has_exact_int8(tmp_path / "cpuinfo", machine) is expected


@pytest.mark.cpu
def test_the_kernel_says_what_the_cpu_says_of_itself() -> None:
    """As numpy asks it; on an emulated CPU both must be that one's."""
    features = importlib.import_module("numpy._core._multiarray_umath").__cpu_features__
    assert has_exact_int8() or not features.get("AVX512VNNI")
    if os.environ.get(OTHER_CPU):
        assert (features["AVX2"], features["AVX512F"]) == (True, False)
        assert (has_exact_int8(), has_bf16()) == (False, False)
