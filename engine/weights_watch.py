"""Notices when somebody writes into the weights that a runtime has mapped into memory."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from io import FileIO
from pathlib import Path

from engine.errors import BackendError, IntegrityError


class WeightsWatch:
    """Weights files as they were before they were verified and loaded.

    Runtimes map these files, so that writing into one changes the vectors of the process that
    serves it, without any error. A file that takes the place of another by being renamed does no
    harm: the one that is mapped lives on, and it is that one which is watched.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        """Open the files; make this before they are verified.

        Raises:
            IntegrityError: a file can't be read.
        """
        self._open = ExitStack()
        try:
            files = [(path, self._open.enter_context(FileIO(path))) for path in paths]
        except OSError as exc:
            self._open.close()
            raise IntegrityError(f"{exc.filename} can't be read.") from exc
        self._files = [(path, file, _state(file)) for path, file in files]

    def check(self) -> None:
        """Return if the files are what they were; takes about a microsecond each.

        Raises:
            BackendError: one was written to; what was computed with it must not be used.
        """
        for path, file, before in self._files:
            if _state(file) != before:
                raise BackendError(
                    f"{path} was changed while it was in use. Restore it or make the bundle anew, "
                    "then load the model again. Replace files by renaming, not by writing."
                )

    def close(self) -> None:
        """Close the files."""
        self._open.close()


def _state(file: FileIO) -> tuple[int, int]:
    found = os.fstat(file.fileno())
    return found.st_mtime_ns, found.st_size
