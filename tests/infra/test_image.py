"""The server's image: linted, and really built for CPUs on a base of Debian's, run, and ended.

The build is opt-in and needs root. It shows the Dockerfile, the locks and the code on another base;
CUDA's own base and its compiler are not here.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest

from tests.functions.ports import free_port
from tests.infra import images
from tests.infra.tools import ROOT, installed, output, pinned, until
from tests.processes import end

DOCKERFILE = ROOT / "Dockerfile.gpu"
LOCK = ROOT / "infra" / "locks" / "server-cpu.txt"
IMAGE = "localhost/embellama-test-server"


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


def builds_the_image(test: Callable[[str], None]) -> Callable[[str], None]:
    """Mark a test of the image, which is opt-in."""
    skip = pytest.mark.skipif(
        "TEST_IMAGES" not in os.environ,
        reason="the server's image was not built: `make test-images` does",
    )
    return pytest.mark.images(pytest.mark.model(skip(test)))


@pytest.fixture(scope="module")
def image(default_bundle: Path) -> Iterator[str]:
    """The CPU image with the default model baked in."""
    arguments = {"BUILD_BASE": images.BASE, "VARIANT": "cpu"}
    images.build(IMAGE, DOCKERFILE, default_bundle, **arguments)
    yield IMAGE
    output([installed("buildah", ""), "rmi", IMAGE])


def _descendants(pid: int) -> list[int]:
    """Processes that a process has started, and those that they have."""
    lists = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    children = [int(child) for text in lists for child in text.split()]
    return [each for child in children for each in (child, *_descendants(child))]


def _program(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text().strip()


@builds_the_image
def test_only_what_runs_is_installed(image: str) -> None:
    """Our code and what the lock pins for this Python: no pip, and nothing that builds."""
    buildah = installed("buildah", "")
    container = output([buildah, "from", "--pull-never", image]).strip()
    names = "import importlib.metadata as m; print(*(d.name for d in m.distributions()))"
    try:
        run = [buildah, "run", "--isolation", "chroot", container, "--"]
        found = output([*run, "/opt/embellama/bin/python", "-c", names]).split()
    finally:
        output([buildah, "rm", container])
    pinned = re.findall(r"^([a-z0-9-]+)==", LOCK.read_text("utf-8"), re.MULTILINE)
    installed_names = {re.sub(r"[-_.]+", "-", name).lower() for name in found}
    assert "embellama" in installed_names
    assert installed_names - {"embellama"} <= set(pinned)


@builds_the_image
def test_the_image_serves_as_nobody_and_drains(image: str) -> None:
    """It is ready, embeds, passes its own health check, and ends with 0 on its STOPSIGNAL."""
    configuration = images.configuration(image)
    assert configuration["User"] == "10001:10001"
    assert configuration["Labels"]["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert set(configuration["Volumes"]) == {"/cache", "/tmp"}  # noqa: S108 - in the image
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
