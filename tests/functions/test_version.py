from __future__ import annotations

from functions.version import version


def test_there_is_always_a_version() -> None:
    assert version()[0].isdecimal()
