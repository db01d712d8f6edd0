from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.functions.targets.serving import ServerProcess


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    """A server over a real socket; its model answers at once."""
    with ServerProcess.fake("free") as process:
        process.event("model ready")
        yield process
