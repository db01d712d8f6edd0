"""Whether others could have put what a cache holds: its files are taken for ours by their name."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from engine.errors import IntegrityError

_ROOT = 0


def check_only_ours(directory: Path) -> None:
    """Return if only this user and root can have written a directory and the files in it.

    A group may write if it is root's, as images have it for users without a name, or the user's
    own, which has the user's number.

    Raises:
        IntegrityError: others own one of them or may write to it; says what to do.
    """
    if os.name != "posix":
        return
    for path in (directory, *sorted(directory.iterdir())):
        found = path.stat()
        if found.st_uid not in (_ROOT, os.geteuid()):
            raise IntegrityError(
                f"{path} belongs to the user {found.st_uid}, who may have put another model there. "
                f"Remove {directory}, and it is made again, or take it over: "
                f"chown -R {os.geteuid()} {directory}."
            )
        if found.st_mode & stat.S_IWOTH or (
            found.st_mode & stat.S_IWGRP and found.st_gid not in (_ROOT, found.st_uid)
        ):
            raise IntegrityError(
                f"Others may write to {path}, and may have put another model there. Remove "
                f"{directory}, and it is made again, or if you trust it: chmod -R go-w {directory}."
            )
