"""The server's image: linted, and really built for CPUs on a base of Debian's, run, and ended.

The build is opt-in and needs root. It shows the Dockerfile, the locks and the code on another base;
CUDA's own base and its compiler are not here.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.contract.environments import CACHE
from tests.functions.ports import free_port
from tests.infra.tools import ROOT, installed, output, pinned, until
from tests.processes import end

DOCKERFILE = ROOT / "Dockerfile.gpu"
BASE = "localhost/embellama-test-server-base"
IMAGE = "localhost/embellama-test-server"
BUNDLE = ROOT / "build" / "test-server-bundle"


def test_hadolint_finds_nothing() -> None:
    assert output([pinned("hadolint"), DOCKERFILE]) == ""


def test_it_compiles_for_the_gpus_that_we_name() -> None:
    """A100, A10G, L4, H100 as machine code; the last one as PTX too, for what comes later."""
    (found,) = re.findall(r'ARG CUDA_ARCHITECTURES="(.*)"', DOCKERFILE.read_text("utf-8"))
    assert found.split(";") == ["80-real", "86-real", "89-real", "90"]


def test_only_what_a_build_needs_is_sent_to_it() -> None:
    """Everything is left out but what is named, and every source of a COPY is named."""
    allowed = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    assert allowed[1] == "*"
    names = {line[1:] for line in allowed if line.startswith("!")}
    copies = re.findall(r"^COPY ((?!--from).*)$", DOCKERFILE.read_text("utf-8"), re.MULTILINE)
    sources = {source for copy in copies for source in copy.split()[:-1]} - {"${BUNDLE}"}
    assert all(any(source.startswith(name) for name in names) for source in sources), sources


@pytest.fixture(scope="module")
def image(default_bundle: Path) -> Iterator[str]:
    """The CPU image with the default model baked in."""
    buildah = installed("buildah", "the server's image was not built")
    debootstrap = installed("debootstrap", "the server's image was not built")
    if os.getuid() != 0:
        pytest.skip("the user is not root: the server's image was not built")
    root = CACHE / "bookworm"
    if not (root / "usr/bin/python3").exists():
        shutil.rmtree(root, ignore_errors=True)
        packages = "--include=python3,python3-pip,ca-certificates"
        output([debootstrap, "--variant=minbase", packages, "bookworm", root])
    container = output([buildah, "from", "scratch"]).strip()
    output([buildah, "add", "--quiet", container, root, "/"])
    output([buildah, "commit", "--quiet", "--rm", container, BASE])
    shutil.rmtree(BUNDLE, ignore_errors=True)
    shutil.copytree(default_bundle, BUNDLE)
    arguments = {"BASE": BASE, "BUILD_BASE": BASE, "VARIANT": "cpu"}
    arguments["BUNDLE"] = str(BUNDLE.relative_to(ROOT))
    options = [part for item in arguments.items() for part in ("--build-arg", "=".join(item))]
    build = [buildah, "bud", "--isolation", "chroot", "--network", "host", "--pull-never"]
    build += ["--format", "docker", "--volume", "/etc/ssl/certs:/etc/ssl/certs:ro", *options]
    try:
        output([*build, "-f", DOCKERFILE, "-t", IMAGE, ROOT])
    finally:
        shutil.rmtree(BUNDLE)
    yield IMAGE
    output([buildah, "rmi", IMAGE])


def _configuration(image: str) -> dict[str, Any]:
    found = output([installed("buildah", ""), "inspect", "--type", "image", image])
    configuration: dict[str, Any] = json.loads(found)["Docker"]["config"]
    return configuration


def _descendants(pid: int) -> list[int]:
    """Processes that a process has started, and those that they have."""
    lists = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    children = [int(child) for text in lists for child in text.split()]
    return [each for child in children for each in (child, *_descendants(child))]


def _program(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text().strip()


@pytest.mark.images
@pytest.mark.model
@pytest.mark.skipif(
    "TEST_IMAGES" not in os.environ,
    reason="the server's image was not built: `make test-images` does",
)
def test_the_image_serves_as_nobody_and_drains(image: str) -> None:
    """It is ready, embeds, passes its own health check, and ends with 0 on its STOPSIGNAL."""
    configuration = _configuration(image)
    assert configuration["User"] == "10001:10001"
    assert configuration["Labels"]["org.opencontainers.image.licenses"] == "Apache-2.0"
    buildah = installed("buildah", "")
    container = output([buildah, "from", "--pull-never", image]).strip()
    port = free_port()
    run = [buildah, "run", "--isolation", "chroot", "--network", "host"]
    run += ["--env", f"EMBELLAMA_PORT={port}", "--env", "EMBELLAMA_HOST=127.0.0.1", container, "--"]
    command = [*configuration["Entrypoint"], *configuration["Cmd"]]
    server = subprocess.Popen([*run, *command])
    try:
        url = f"http://127.0.0.1:{port}"
        until(lambda: httpx2.get(f"{url}/health/ready").status_code == 200, "it is not ready")
        body = {"model": "all-MiniLM-L6-v2", "input": "the cat"}
        answer = httpx2.post(f"{url}/v1/embeddings", json=body).json()
        assert len(answer["data"][0]["embedding"]) == 384
        check = configuration["Healthcheck"]["Test"]
        assert check[0] == "CMD"
        output([*run, *check[1:]])
        (tini,) = [pid for pid in _descendants(server.pid) if _program(pid) == "tini"]
        assert f"Uid:\t{10001}\t" in Path(f"/proc/{tini}/status").read_text()
        os.kill(tini, signal.Signals[configuration["StopSignal"]])
        assert server.wait(60) == 0
    finally:
        for pid in reversed(_descendants(server.pid) if server.poll() is None else []):
            os.kill(pid, signal.SIGKILL)
        end(server, signal.SIGKILL)
        output([buildah, "rm", container])
