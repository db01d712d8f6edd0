"""Where a user's files are; asked only when one is needed, as a container's user may have none."""

from __future__ import annotations

from pathlib import Path

import platformdirs

from engine.errors import ConfigurationError


def user_cache_directory() -> Path:
    """Where bundles are kept unless the caller says otherwise: below XDG_CACHE_HOME or HOME.

    Raises:
        ConfigurationError: neither is set, and the user is in no list of users.
    """
    try:
        path = platformdirs.user_cache_path("embellama")
    except RuntimeError:
        path = Path("~")
    if path.is_absolute():
        return path
    raise ConfigurationError(
        "A model has to be kept in the user's cache, but this user has no home directory: set "
        "XDG_CACHE_HOME (or HOME) to a directory that can be written to, or give the path of a "
        "bundle that is there already."
    )


def expand_home(path: Path | str) -> Path:
    """The path, with the home directory in the place of a `~` or `~NAME` at its start.

    Raises:
        ConfigurationError: there is no such home directory.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as exc:
        raise ConfigurationError(
            f"There is no home directory for {Path(path).parts[0]} in {path}: give the whole path, "
            "or set HOME."
        ) from exc
