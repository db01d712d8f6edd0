from __future__ import annotations

import platform
import sys
import threading

import numpy as np
import pytest

from engine.backends.denormals import denormals_as_zero

pytestmark = pytest.mark.cpu
_TINY = np.full(64, 2e-38, np.float32)
_TENTH = np.full(64, 0.1, np.float32)


def _has_denormals() -> bool:
    return bool(np.any(_TINY * _TENTH))


@pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64",
    reason="not checked: this processor is not known to be slow at denormal numbers",
)
def test_denormals_are_zero_within_and_kept_after() -> None:
    assert _has_denormals()
    with denormals_as_zero():
        assert not _has_denormals()
    assert _has_denormals()


def test_they_are_kept_after_an_error() -> None:
    with pytest.raises(ValueError, match="of what runs"), denormals_as_zero():
        raise ValueError("of what runs")
    assert _has_denormals()


def test_other_threads_keep_them() -> None:
    found: list[bool] = []
    ready = threading.Event()

    def look() -> None:
        ready.wait()
        found.append(_has_denormals())

    thread = threading.Thread(target=look)
    thread.start()
    with denormals_as_zero():
        ready.set()
        thread.join()
    assert found == [True]
