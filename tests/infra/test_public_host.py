"""The public name of a site reaches the server through nginx, and no other name does."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import httpx2

from tests.infra import served
from tests.infra.test_rollout import nginx
from tests.infra.tools import INFRA

BODY = {"model": served.MODEL, "input": "the cat"}
FROM_A_PAGE = {"origin": "https://app.example.org", "sec-fetch-site": "cross-site"}


def test_nginx_passes_the_public_name_which_the_unit_allows(fault: Path, tmp_path: Path) -> None:
    lines = (INFRA / "systemd" / "embellama.env").read_text("utf-8").splitlines()
    (allowed,) = [
        line.partition("=")[2] for line in lines if line.startswith("EMBELLAMA_ALLOWED_HOST=")
    ]
    public = allowed.split(",")[0]
    with ExitStack() as stack:
        servers = [stack.enter_context(served.started(fault, allowed_host=allowed)) for _ in "ab"]
        url = stack.enter_context(nginx([server.port for server in servers], tmp_path))
        statuses = {
            host: httpx2.post(
                f"{url}/v1/embeddings", json=BODY, headers=FROM_A_PAGE | {"host": host}
            ).status_code
            for host in (public, "evil.example", "localhost")
        }
    assert statuses == {public: 200, "evil.example": 400, "localhost": 200}
