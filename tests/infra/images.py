"""Images that are really built, by buildah and on a base of Debian's. It needs root."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.contract.environments import CACHE
from tests.infra.tools import ROOT, installed, output

BASE = "localhost/embellama-test-base"


def build(image: str, dockerfile: Path, bundle: Path, **arguments: str) -> None:
    """Build an image with this bundle in it, or skip the test where that can't be done."""
    unchecked = f"{dockerfile.name} was not built"
    buildah = installed("buildah", unchecked)
    debootstrap = installed("debootstrap", unchecked)
    if os.getuid() != 0:
        pytest.skip(f"the user is not root: {unchecked}")
    _make_base(buildah, debootstrap)
    copy = ROOT / "build" / f"test-{image.rsplit('/', 1)[-1]}"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(bundle, copy)
    given = {"BASE": BASE, "BUNDLE": str(copy.relative_to(ROOT)), **arguments}
    options = [part for item in given.items() for part in ("--build-arg", "=".join(item))]
    command = [buildah, "bud", "--isolation", "chroot", "--network", "host", "--pull-never"]
    command += ["--format", "docker", "--volume", "/etc/ssl/certs:/etc/ssl/certs:ro", *options]
    try:
        output([*command, "-f", dockerfile, "-t", image, ROOT])
    finally:
        shutil.rmtree(copy)


def configuration(image: str) -> dict[str, Any]:
    """User, command, labels and so on."""
    found = output([installed("buildah", ""), "inspect", "--type", "image", image])
    read: dict[str, Any] = json.loads(found)["Docker"]["config"]
    return read


def _make_base(buildah: str, debootstrap: str) -> None:
    """Debian with Python and pip; its packages are fetched once."""
    root = CACHE / "bookworm"
    if not (root / "usr/bin/pip3").exists():
        shutil.rmtree(root, ignore_errors=True)
        packages = "--include=python3,python3-pip,ca-certificates"
        output([debootstrap, "--variant=minbase", packages, "bookworm", root])
    container = output([buildah, "from", "scratch"]).strip()
    output([buildah, "add", "--quiet", container, root, "/"])
    output([buildah, "commit", "--quiet", "--rm", container, BASE])
