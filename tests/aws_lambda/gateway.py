"""A small gateway: HTTP in, events to an environment, the function's answer back out.

As a program, `python -m tests.aws_lambda.gateway`, it serves the Lambda target on this machine.
"""

from __future__ import annotations

import argparse
import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from tests.aws_lambda.emulator import Environment
from tests.aws_lambda.events import MAKERS, Event, HttpRequest
from tests.threaded_server import ThreadedServer

HANDLER = "functions.targets.aws_lambda.handler"
_HOP_HEADERS = frozenset({"connection", "transfer-encoding", "content-length"})


class Gateway(ThreadedServer):
    """Gives each request to the environment as an event of one kind."""

    def __init__(
        self,
        invoke: Callable[[object], Any],
        kind: str = "http_api",
        *,
        stage: str = "$default",
        port: int = 0,
    ) -> None:
        super().__init__(partial(_Handler, _Route(invoke, MAKERS[kind], stage)), port=port)
        if stage != "$default":
            self.url += f"/{stage}"


@dataclass(frozen=True, slots=True)
class _Route:
    """Where requests go, and how."""

    invoke: Callable[[object], Any]
    make_event: Callable[[HttpRequest], Event]
    stage: str


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, route: _Route, *arguments: Any) -> None:  # noqa: ANN401 - the base's
        self._route = route
        super().__init__(*arguments)

    def __getattr__(self, name: str) -> Callable[[], None]:
        """The base looks for `do_` and the method."""
        if name.startswith("do_"):
            return self._serve
        raise AttributeError(name)

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", "0")))
        path, _, query = self.path.partition("?")
        stage = self._route.stage
        path = unquote(path)
        if stage != "$default":
            path = path.removeprefix(f"/{stage}")
        headers = dict(self.headers.items())
        request = HttpRequest(self.command, path, query, headers, body, stage)
        self._send(self._route.invoke(self._route.make_event(request)))

    def _send(self, answer: Any) -> None:  # noqa: ANN401 - whatever the function returned
        if not isinstance(answer, dict) or "statusCode" not in answer:
            # What API Gateway says when a function fails.
            answer = {"statusCode": 502, "body": json.dumps({"message": str(answer)})}
        text = answer.get("body") or ""
        content = base64.b64decode(text) if answer.get("isBase64Encoded") else text.encode()
        self.send_response(answer["statusCode"])
        for name, value in (answer.get("headers") or {}).items():
            if name.lower() not in _HOP_HEADERS:
                self.send_header(name, str(value))
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Nothing: the function logs."""


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=9000)
    parser.add_argument("--kind", choices=list(MAKERS), default="http_api")
    parser.add_argument("--memory", type=int, default=1769, help="megabytes, which buy the CPUs")
    parser.add_argument("--model-path", type=Path, help="a bundle; by default all-MiniLM-L6-v2")
    options = parser.parse_args()
    from engine.export.default_model import ensure_default_bundle

    bundle = options.model_path or ensure_default_bundle()
    variables = {"EMBELLAMA_MODEL_PATH": str(bundle.resolve())}
    with Environment(HANDLER, variables, memory_megabytes=options.memory) as environment:
        environment.invoke({"warmup": True})
        print("\n".join(environment.lines()))
        gateway = Gateway(environment.invoke, options.kind, port=options.port)
        print(f"The Lambda target listens on {gateway.url}; press Ctrl-C to end it.", flush=True)
        try:
            gateway.serve()
        except KeyboardInterrupt:
            print()


if __name__ == "__main__":
    main()
