"""The image, really built on a base of Debian's and run as AWS runs it. Opt-in: it needs root.

It shows the Dockerfile, the locks and the code on another base; AWS's own base is not here.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine import Engine
from tests.aws_lambda.emulator import INVOKE, emulator_path
from tests.aws_lambda.events import HttpRequest, http_api
from tests.functions.ports import free_ports
from tests.infra import images
from tests.infra.tools import ROOT, installed, output
from tests.processes import end

pytestmark = [
    pytest.mark.images,
    pytest.mark.skipif(
        "TEST_IMAGES" not in os.environ, reason="images are built by `make test-images` only"
    ),
]
IMAGE = "localhost/embellama-test-lambda"
HANDLER = "functions.targets.aws_lambda.handler"


@pytest.fixture(scope="module")
def root(default_bundle: Path) -> Iterator[Path]:
    """The root file system of the image."""
    images.build(IMAGE, ROOT / "Dockerfile.lambda", default_bundle)
    buildah = installed("buildah", "")
    container = output([buildah, "from", "--pull-never", IMAGE]).strip()
    yield Path(output([buildah, "mount", container]).strip())
    output([buildah, "umount", container])
    output([buildah, "rm", container])


@pytest.fixture(scope="module")
def port(root: Path) -> Iterator[int]:
    """Where the emulator in the image listens."""
    ports = free_ports(2)
    script = Path(__file__).with_name("run_image.sh")
    addresses = [f"127.0.0.1:{port}" for port in ports]
    process = subprocess.Popen(
        ["unshare", "--mount", "sh", script, root, emulator_path(), *addresses, HANDLER],
        start_new_session=True,
    )
    while process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", ports[0]), timeout=5).close()
        except OSError:
            threading.Event().wait(0.1)
        else:
            break
    yield ports[0]
    end(process, group=True)


def _invoke(port: int, event: object) -> Any:  # noqa: ANN401 - whatever the function returns
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    try:
        connection.request("POST", INVOKE, json.dumps(event))
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


def test_the_image_has_the_code_the_bundle_and_an_unprivileged_user(root: Path) -> None:
    config = images.configuration(IMAGE)
    assert (config["User"], config["Cmd"]) == ("65532", [HANDLER])
    task = root / "var" / "task"
    assert {"engine", "functions", "model", "onnxruntime"} <= {p.name for p in task.iterdir()}
    assert not (task / "model" / "model.gguf").exists()
    assert list((task / "functions" / "targets" / "__pycache__").glob("aws_lambda.*.pyc"))


def test_it_answers_from_a_read_only_root(port: int, default_engine: Engine) -> None:
    body = json.dumps({"model": default_engine.manifest.name, "input": "the cat"}).encode()
    headers = {"content-type": "application/json"}
    event = http_api(HttpRequest("POST", "/v1/embeddings", headers=headers, body=body))
    assert _invoke(port, {"warmup": True}) == {"status": "warm"}
    answer = _invoke(port, event)
    assert answer["statusCode"] == 200
    found = json.loads(answer["body"])["data"][0]["embedding"]
    expected = default_engine.embed("the cat").vectors[0]
    assert max(abs(a - b) for a, b in zip(found, expected.tolist(), strict=True)) <= 1e-5
