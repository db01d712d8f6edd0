"""Runs the tests whose expectation depends on the CPU on another one, which qemu emulates.

As a program, `make test-other-cpu`: on an Intel Haswell, which has AVX2, but no AVX-512, VNNI or
AMX. As a plugin of pytest it takes llama.cpp away there, as that was compiled for this CPU.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

TESTS = Path(__file__).resolve().parent
VARIABLE = "OTHER_CPU"
"""Set where the tests run on the emulated CPU."""
_MARKED = "pytest.mark.cpu\n"
_LIGHT = "cpu and not heavy"
_CPU = "Haswell,-pcid,-x2apic,-tsc-deadline,-hle,-invpcid,-rtm"  # all that qemu itself has of it
_LACKING = re.compile(r" (avx512\w*|avx_vnni\w*|amx_\w+)")


def pytest_configure() -> None:
    """Let no test import llama.cpp."""
    sys.modules["llama_cpp"] = None  # type: ignore[assignment] # as if it were not installed


def main(arguments: list[str]) -> int:
    """Run them; pytest's exit code, or 0 where they can't be run, with the reason."""
    qemu = shutil.which("qemu-x86_64")
    if qemu is None or platform.machine() != "x86_64":
        why = "qemu-x86_64 is not installed" if qemu is None else "this is no x86-64 machine"
        print(f"not checked: the tests on a CPU without AVX-512 and VNNI, as {why}")
        return 0
    marked = [path for path in TESTS.rglob("test_*.py") if _MARKED in path.read_text("utf-8")]
    with tempfile.TemporaryDirectory() as root:
        kernel = Path(root, "proc", "cpuinfo")  # qemu looks below `-L` first
        kernel.parent.mkdir()
        kernel.write_text(_LACKING.sub("", Path("/proc/cpuinfo").read_text("utf-8")), "utf-8")
        command = [qemu, "-L", root, "-cpu", _CPU, sys.executable, "-m", "pytest"]
        command += ["-m", _LIGHT, "-p", "tests.other_cpu", *map(str, sorted(marked)), *arguments]
        return subprocess.run(command, env=os.environ | {VARIABLE: "1"}).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
