from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def fault(tmp_path: Path) -> Path:
    """As long as this file exists, the backend of `tests.infra.served` fails."""
    return tmp_path / "fault"
