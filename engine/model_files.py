"""Opens the files of a model, which come from elsewhere: regular ones only, of a bounded size.

A pipe would be waited for without end, and `/dev/zero` read without end. What is refused raises an
`OSError` whose `strerror` says why and names the bound.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

MAX_MANIFEST_BYTES = 4 << 20
"""A thousand times what a manifest without prompts has."""
MAX_JSON_BYTES = 16 << 20
"""Of what a checkpoint says of itself: several times the largest index of weights in parts."""
MAX_GOLDEN_BYTES = 64 << 20
"""The golden texts with vectors of `MOST_DIMENSIONS` numbers."""
MAX_TOKENIZER_BYTES = 128 << 20
"""Four times the largest that is published (Gemma's: 33 MB, with 256,000 tokens)."""


def open_regular(path: Path) -> BinaryIO:
    """Open a file to read it, and never wait for it.

    Raises:
        OSError: it can't be opened, or is a pipe, a device or a directory.
    """
    _check_regular(path, path.stat())  # Opening alone has effects on some devices.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    file = os.fdopen(os.open(path, flags), "rb")
    try:
        _check_regular(path, os.fstat(file.fileno()))
    except OSError:
        file.close()
        raise
    return file


def read_bounded(path: Path, limit_bytes: int) -> bytes:
    """All of a file that has at most so many bytes.

    Raises:
        OSError: it can't be read, is no regular file, or has more.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size <= limit_bytes:
            data = file.read(size + 1)
            if len(data) == size:
                return data
            raise OSError(errno.EBUSY, "its size changed while it was read", str(path))
    raise OSError(
        errno.EFBIG, f"it has {size} bytes, and at most {limit_bytes} are read", str(path)
    )


def _check_regular(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
