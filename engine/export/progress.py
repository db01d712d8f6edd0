"""Where a long build says what it is doing."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TypeAlias

Progress: TypeAlias = Callable[[str], None]


def to_stderr(line: str) -> None:
    """Write one line to standard error at once."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
