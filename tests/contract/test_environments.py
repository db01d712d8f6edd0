"""The environments of others, which several clones of the repository may share."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

from tests.contract import environments


def test_a_linked_cache_is_named_by_where_it_is(tmp_path: Path) -> None:
    """Else scripts name an interpreter below the clone, and break when the clone has gone."""
    cache = tmp_path / "cache"
    (cache / "tests").mkdir(parents=True)
    clone = tmp_path / "clone"
    (clone / "tests" / "contract").mkdir(parents=True)
    copied = shutil.copy(environments.__file__, clone / "tests" / "contract")
    (clone / ".cache").symlink_to(cache)

    spec = importlib.util.spec_from_file_location("cloned_environments", copied)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    assert module.CACHE == cache / "tests"
