from __future__ import annotations

import shutil
import subprocess

import pytest


@pytest.fixture(scope="session", autouse=True)
def _gpu() -> None:
    """Skips all tests of this directory on a machine without an NVIDIA GPU."""
    program = shutil.which("nvidia-smi")
    if program is None or subprocess.run([program, "-L"], capture_output=True).returncode != 0:
        pytest.skip("not checked: no GPU")
