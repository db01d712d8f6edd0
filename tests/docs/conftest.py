from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.clone import Clone, make_clone


@pytest.fixture
def clone(default_bundle: Path, tmp_path: Path) -> Clone:
    """A clone of its own for each document."""
    return make_clone(tmp_path, default_bundle)
