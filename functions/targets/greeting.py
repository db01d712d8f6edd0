"""What a person at a terminal sees of a start: the address, the model, and a request to try."""

from __future__ import annotations

import json
import shlex

_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - what is listened on is not asked


def url_of(host: str, port: int, *, tls: bool) -> str:
    """Where this machine reaches a server that listens on this address."""
    host = _ANY.get(host, host)
    return f"{'https' if tls else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"


def request_to_try(url: str, model: str, *, needs_key: bool) -> str:
    """A curl command that embeds a text; where keys are on, with a place for one."""
    body = json.dumps({"model": model, "input": "Hello, world"}, ensure_ascii=False)
    headers = ["content-type: application/json"]
    if needs_key:
        headers.append("authorization: Bearer YOUR_KEY")
    options = " ".join(f"-H {shlex.quote(header)}" for header in headers)
    return f"curl {url}/v1/embeddings {options} -d {shlex.quote(body)}"
