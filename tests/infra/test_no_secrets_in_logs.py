"""What the log of a whole server never has: keys, passwords, and what clients sent as inputs.

A real process at the debug level, with keys, a broken Redis and a broken collector of traces,
gets right and wrong requests; then all that it wrote is searched.
"""

from __future__ import annotations

import json
import signal
import socket
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.functions.ports import free_port
from tests.infra import served
from tests.infra.served import Served
from tests.infra.tools import until

EMBED = "/v1/embeddings"
KEYS = {
    "option": "kz-option-5e1f0c9a77",
    "file": "kz-file-0b64d1c2aa",
    "admin": "kz-admin-91d7e3f004",
    "wrong": "kz-wrong-3c3c5d7b12",
    "redis": "kz-redis-77ab90cd41",
    "collector": "kz-collector-2a2b9fe0d3",
    "collector-header": "kz-header-c81b6f9e55",
}
TEXTS = {
    "good": "zx-good quick brown fox",
    "failed": "zx-failed lazy dog",
    "long": "zx-long " * 60,
    "surrogate": "zx-surrogate \ud800",
    "nothing": "zx-in-no-field",
    "query": "zx-in-the-query",
    "user": "zx-user-mail",
    "garbage": "zx-garbage",
}
PATH = "zz-in-the-path"
"""The one thing that a client makes up and the log repeats, in its field and nowhere else."""
SECRETS = [*KEYS.values(), *(text.split()[0] for text in TEXTS.values())]
"""Each is searched for as it is; every text begins with a word of its own."""


def _body(text: str, **more: object) -> bytes:
    return json.dumps({"model": served.MODEL, "input": text} | more).encode()


def _send_requests(server: Served, fault: Path) -> int:
    """Requests of every fate, their statuses checked; how many there were."""
    json_type = {"content-type": "application/json"}
    good = {"authorization": f"Bearer {KEYS['option']}"}
    from_file = {"x-api-key": KEYS["file"]}
    admin = {"authorization": f"Bearer {KEYS['admin']}"}
    wrong = {"authorization": f"Bearer {KEYS['wrong']}"}
    text = TEXTS["good"]
    cases: list[tuple[int, str, str, dict[str, str], bytes]] = [
        (200, "POST", EMBED, good, _body(text, user=TEXTS["user"])),
        (200, "POST", EMBED, from_file, _body(text)),
        (200, "POST", "/v1/tokenize", good, _body(text)),
        (401, "POST", EMBED, wrong, _body(text)),
        (401, "POST", EMBED, {}, _body(text)),
        (400, "POST", EMBED, good, _body(TEXTS["long"])),
        (400, "POST", EMBED, good, _body(TEXTS["surrogate"])),
        (400, "POST", EMBED, good, _body(text, **{TEXTS["nothing"]: 1})),
        (400, "POST", EMBED, good, _body(text)[:-1]),
        (413, "POST", EMBED, good, _body(text + " " * 4000)),
        (404, "POST", EMBED, good, _body(text, model=TEXTS["nothing"])),
        (404, "GET", f"/v1/models/{PATH}", good, b""),
        (404, "GET", f"/{PATH}?text={TEXTS['query']}", good, b""),
        (401, "GET", f"/{PATH}?text={TEXTS['query']}", wrong, b""),
        (404, "GET", f"/nowhere?api_key={KEYS['option']}", good, b""),
        (405, "PUT", f"{EMBED}?text={TEXTS['query']}", good, _body(text)),
        (200, "GET", "/admin/settings", admin, b""),
        (401, "GET", "/admin/status", good, b""),
    ]
    for status, method, path, headers, body in cases:
        url = f"{server.url}{path}"
        answer = httpx2.request(method, url, headers=json_type | headers, content=body)
        assert answer.status_code == status, (method, path, answer.text)
    fault.touch()
    for _ in range(2):
        answer = httpx2.post(f"{server.url}{EMBED}", headers=json_type | good,
                             content=_body(TEXTS["failed"]))  # fmt: skip
        assert answer.status_code == 500
    fault.unlink()
    return len(cases) + 2


def _send_garbage(server: Served) -> None:
    """What is no HTTP, with a key and a text in it."""
    head = f"POST {EMBED} HTTP/1.1\r\nhost: x\r\nx-api-key: {KEYS['option']}\r\n"
    for garbage in (
        f"{TEXTS['garbage']} {KEYS['option']}\r\n\r\n",
        f"{head}{TEXTS['garbage']}\r\n\r\n",
        f"{head}transfer-encoding: chunked\r\n\r\n{TEXTS['garbage']}\r\n",
    ):
        with socket.create_connection(("127.0.0.1", server.port), 30) as connection:
            connection.sendall(garbage.encode())
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536):
                pass


@pytest.fixture(params=["json", "console"])
def log(
    request: pytest.FixtureRequest,
    fault: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """Where the server writes all it has to say, on stdout and stderr."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", f"x-token={KEYS['collector-header']}")
    key_file = tmp_path / "keys"
    key_file.write_text(f"bob:{KEYS['file']}\n")
    closed = free_port()
    options: dict[str, Any] = {
        "log_level": "debug",
        "log_format": request.param,
        "api_key": f"alice:{KEYS['option']}",
        "api_key_file": key_file,
        "admin_key": KEYS["admin"],
        "max_body_bytes": 3000,
        "requests_per_minute": 1000,
        "rate_limit_storage": f"redis://:{KEYS['redis']}@127.0.0.1:{closed}/0",
        "otlp_endpoint": f"http://me:{KEYS['collector']}@127.0.0.1:{closed}",
    }
    path = fault.with_suffix(".log")
    with served.started(fault, **options) as server:
        sent = _send_requests(server, fault)
        _send_garbage(server)
        key_file.write_text(f"bob:{KEYS['file']} with spaces\n")
        until(lambda: _asks_until_reread(server, path), "the bad key file is not noticed")
        server.process.send_signal(signal.SIGTERM)
        server.process.wait(60)
    assert path.read_text("utf-8").count("user_hash") == 1
    assert path.read_text("utf-8").count("request_id") >= sent
    return path


def _asks_until_reread(server: Served, log: Path) -> bool:
    httpx2.get(f"{server.url}/v1/models", headers={"x-api-key": KEYS["option"]})
    return "API keys not read anew" in log.read_text("utf-8")


def test_no_key_and_no_text_is_ever_logged(log: Path) -> None:
    """The log tells of every kind of trouble, by name, and has none of the secrets."""
    text = log.read_text("utf-8")
    for told in ("settings", "alice", "InvalidApiKeyError", "BackendError", "Traceback",
                 "rate limits are off", "/v1/traces", "draining", "stopped"):  # fmt: skip
        assert told in text, told
    assert [secret for secret in SECRETS if secret in text] == []
    assert text.count(PATH) == 3
