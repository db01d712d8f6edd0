from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test depends on the variables of whoever runs it."""
    for name in os.environ:
        if name.upper().startswith(("EMBELLAMA_", "AWS_")) or name in ("HOST", "PORT"):
            monkeypatch.delenv(name)


@pytest.fixture
def fault(tmp_path: Path) -> Path:
    """As long as this file exists, the backend of `tests.infra.served` fails."""
    return tmp_path / "fault"
