"""The tests of OpenVINO, which development has not installed, so that `auto` is exact there."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench.environments import OPENVINO, ROOT, UnavailableError

_TESTS = ("test_openvino.py", "test_openvino_engine.py")


@pytest.mark.skipif(
    importlib.util.find_spec("openvino") is not None, reason="they run in this environment"
)
def test_the_backend_and_all_that_chooses_it() -> None:
    """In a process of its own, with OpenVINO put before the packages of this environment."""
    try:
        OPENVINO.ensure()
    except UnavailableError as exc:
        pytest.skip(f"not checked: {exc}")
    here = Path(__file__).parent
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rs", *(str(here / name) for name in _TESTS)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(OPENVINO.packages)},
        capture_output=True,
        text=True,
        check=False,
    )
    if "has no bf16" in done.stdout:
        pytest.skip("not checked: this CPU has no bf16")
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert "skipped" not in done.stdout
