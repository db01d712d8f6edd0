"""What an image installs: the pins of its lock files that hold for Linux and its Python."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.markers import Marker

LOCKS = Path(__file__).resolve().parents[1] / "locks"
IMAGES = {
    "server-cpu": ["server-cpu"],
    "server-gpu": ["server-gpu"],
    "server-gpu-onnx": ["server-gpu", "onnx-gpu"],
    "lambda-zip": ["lambda"],
    "lambda-image": ["lambda-image"],
    "serve": ["serve"],
}
"""Each image, and what `make serve` runs: the lock files that are installed for it."""
PYTHON = "3.12"
"""The Python of the images' bases."""

_PIN = re.compile(r"^([a-z0-9.-]+)==(\S+)(?: ; (.+?))? \\$")
_HASH = re.compile(r"^    --hash=sha256:([0-9a-f]{64})")
_ENVIRONMENT = {
    "implementation_name": "cpython",
    "os_name": "posix",
    "platform_machine": "x86_64",
    "platform_python_implementation": "CPython",
    "platform_system": "Linux",
    "python_full_version": f"{PYTHON}.0",
    "python_version": PYTHON,
    "sys_platform": "linux",
}


@dataclass(frozen=True, slots=True, order=True)
class Pin:
    """One package at one version, and the SHA-256 of each file that may be installed for it."""

    name: str
    version: str
    hashes: tuple[str, ...] = ()


def pins(names: Sequence[str], directory: Path = LOCKS) -> list[Pin]:
    """What these lock files install, sorted by name.

    Raises:
        ValueError: a line is neither a pin nor its hash, so something would go unseen.
    """
    found: dict[str, Pin] = {}
    for name in names:
        for pin in _read(directory / f"{name}.txt"):
            found.setdefault(pin.name, pin)
    return sorted(found.values())


def _read(file: Path) -> list[Pin]:
    read: list[tuple[Pin, str | None]] = []
    for line in file.read_text("utf-8").splitlines():
        if pinned := _PIN.match(line):
            read.append((Pin(pinned[1], pinned[2]), pinned[3]))
        elif read and (hashed := _HASH.match(line)):
            pin, marker = read[-1]
            read[-1] = Pin(pin.name, pin.version, (*pin.hashes, hashed[1])), marker
        else:
            raise ValueError(f"{file.name}: neither a pinned package nor a hash of one: {line!r}")
    return [pin for pin, marker in read if marker is None or Marker(marker).evaluate(_ENVIRONMENT)]
