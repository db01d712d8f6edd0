"""A rollout on one machine: two servers behind nginx restart in turn, and no request fails."""

from __future__ import annotations

import collections
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Self

import httpx2

from tests.functions.ports import free_port
from tests.infra import served
from tests.infra.served import Served
from tests.infra.tools import INFRA, installed, until
from tests.processes import end

SITE = INFRA / "systemd" / "nginx.conf"
CLIENTS = 4
MIN_REQUESTS = 5_000
MAX_ROUNDS = 40
ROUNDS = 2
"""How often each server is restarted at least."""


@contextmanager
def nginx(ports: list[int], directory: Path) -> Iterator[str]:
    """Nginx with our site, but for the ports."""
    program = installed("nginx", "no rollout was run, so nobody knows if it costs requests")
    front = free_port()
    site = SITE.read_text("utf-8").replace("listen 127.0.0.1:8080", f"listen 127.0.0.1:{front}")
    for documented, port in zip((8081, 8082), ports, strict=True):
        site = site.replace(f"127.0.0.1:{documented}", f"127.0.0.1:{port}")
    user = "user root;" if os.geteuid() == 0 else ""
    config = directory / "nginx.conf"
    config.write_text(
        f"daemon off; {user} worker_processes 1; pid {directory}/nginx.pid;\n"
        f"error_log {directory}/error.log;\nevents {{}}\nhttp {{ access_log off;\n"
        f"client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy;\n"
        f"fastcgi_temp_path {directory}/fastcgi; uwsgi_temp_path {directory}/uwsgi;\n"
        f"scgi_temp_path {directory}/scgi;\n{site} }}\n"
    )
    command = [program, "-c", str(config), "-e", f"{directory}/error.log", "-p", str(directory)]
    process = subprocess.Popen(command)
    try:
        url = f"http://127.0.0.1:{front}"
        until(lambda: httpx2.get(f"{url}/health/ready").status_code == 200, "nginx does not answer")
        yield url
    finally:
        end(process)


class Load:
    """Clients that ask as fast as they are answered, and never twice."""

    def __init__(self, url: str) -> None:
        self.outcomes: collections.Counter[str] = collections.Counter()
        self._url = url
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._ask) for _ in range(CLIENTS)]

    @property
    def answered(self) -> int:
        return self.outcomes.total()

    def _ask(self) -> None:
        body = {"model": served.MODEL, "input": ["the cat sat", "on the mat"]}
        with httpx2.Client(timeout=30) as client:
            while not self._ended.is_set():
                try:
                    answer = client.post(f"{self._url}/v1/embeddings", json=body)
                    outcome = str(answer.status_code)
                    if answer.status_code == 200 and len(answer.json()["data"]) != 2:
                        outcome = "an answer with vectors missing"
                except httpx2.HTTPError as exc:
                    outcome = type(exc).__name__
                with self._lock:
                    self.outcomes[outcome] += 1

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()


def restart(server: Served, fault: Path, stack: ExitStack) -> Served:
    """SIGTERM, a clean end, and a successor on the same port that is ready."""
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(60) == 0
    return stack.enter_context(served.started(fault, port=server.port))


def test_a_rollout_costs_no_request(fault: Path, tmp_path: Path) -> None:
    """At least 5,000 requests while both servers are restarted in turn: every one is answered."""
    with ExitStack() as stack:
        servers = [stack.enter_context(served.started(fault)) for _ in range(2)]
        url = stack.enter_context(nginx([server.port for server in servers], tmp_path))
        restarts = 0
        with Load(url) as load:
            for number in range(MAX_ROUNDS):
                if number >= ROUNDS and load.answered >= MIN_REQUESTS:
                    break
                for index, server in enumerate(servers):
                    before = load.answered
                    servers[index] = restart(server, fault, stack)
                    restarts += 1
                    until(lambda before=before: load.answered > before, "nobody is answered")  # type: ignore[misc]
    print(f"{load.answered} requests, {restarts} restarts: {dict(load.outcomes)}")
    assert load.outcomes == {"200": load.answered}
    assert load.answered >= MIN_REQUESTS
    assert restarts >= 2 * ROUNDS
