"""A small gateway: HTTP in, events to an environment, the function's answer back out.

As a program, `python -m tests.aws_lambda.gateway`, it serves the Lambda target on this machine.
"""

from __future__ import annotations

import argparse
import base64
import json
import signal
import socket
import sys
import threading
from argparse import Namespace
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from engine.errors import EmbellamaError
from engine.export.default_model import ensure_default_bundle
from functions.settings_sources import load_settings
from functions.targets.listen import listen
from tests.aws_lambda.emulator import Environment
from tests.aws_lambda.events import MAKERS, Event, HttpRequest
from tests.threaded_server import ThreadedServer

PORT = 9000
HANDLER = "functions.targets.aws_lambda.handler"
_HOP_HEADERS = frozenset({"connection", "transfer-encoding", "content-length"})
_SCHEME_HEADER = "x-forwarded-proto"


class Gateway(ThreadedServer):
    """Gives each request to the environment as an event of one kind."""

    def __init__(
        self,
        invoke: Callable[[object], Any],
        kind: str = "http_api",
        *,
        stage: str = "$default",
        listener: socket.socket | None = None,
    ) -> None:
        super().__init__(partial(_Handler, _Route(invoke, MAKERS[kind], stage)), listener=listener)
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
        headers = {n: value for n, value in self.headers.items() if n.lower() != _SCHEME_HEADER}
        headers[_SCHEME_HEADER] = "http"  # Real ones say https here, which this one does not speak.
        request = HttpRequest(self.command, path, query, headers, body, stage)
        self._send(self._route.invoke(self._route.make_event(request)))

    def _send(self, answer: Any) -> None:  # noqa: ANN401 - whatever the function returned
        if not isinstance(answer, dict) or "statusCode" not in answer:
            # What API Gateway says when a function fails.
            answer = {"statusCode": 502, "body": json.dumps({"message": str(answer)})}
        text = answer.get("body") or ""
        content = base64.b64decode(text) if answer.get("isBase64Encoded") else text.encode()
        given = answer.get("headers") or {}
        headers = {name.lower(): str(value) for name, value in given.items()}
        is_head = self.command == "HEAD"
        length = headers.get("content-length") if is_head else None  # of what GET would get
        self.send_response(answer["statusCode"])
        for name, value in headers.items():
            if name not in _HOP_HEADERS:
                self.send_header(name, value)
        self.send_header("content-length", length or str(len(content)))
        self.end_headers()
        if not is_head:
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Nothing: the function logs."""


def main() -> int:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(prog="make serve-lambda", description=__doc__)
    parser.add_argument("--host", action="append", help="env: HOST")
    parser.add_argument("--port", help=f"env: PORT; by default {PORT}")
    parser.add_argument("--kind", choices=list(MAKERS), default="http_api")
    parser.add_argument("--memory", type=int, default=1769, help="megabytes, which buy the CPUs")
    parser.add_argument("--model-path", type=Path, help="a bundle; by default all-MiniLM-L6-v2")
    options = parser.parse_args()
    flags = {name: vars(options)[name] for name in ("host", "port") if vars(options)[name]}
    try:
        listeners = _listen(Namespace(**flags))
        bundle = options.model_path or ensure_default_bundle()
    except EmbellamaError as exc:
        print(f"make serve-lambda: {exc.message}", file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # So that the emulator is ended, too.
    variables = {"EMBELLAMA_MODEL_PATH": str(bundle.resolve())}
    with Environment(HANDLER, variables, memory_megabytes=options.memory) as environment:
        environment.invoke({"warmup": True})
        print("\n".join(environment.lines()))
        with ExitStack() as serving:
            for listener in listeners:
                gateway = Gateway(environment.invoke, options.kind, listener=listener)
                serving.enter_context(gateway)
                print(f"The Lambda target listens on {gateway.url}", flush=True)
            print("Press Ctrl-C to end it.", flush=True)
            with suppress(KeyboardInterrupt):
                threading.Event().wait()
    return 0


def _listen(flags: Namespace) -> list[socket.socket]:
    """Where `embellama serve` would listen with these flags, but for another port by default.

    Raises:
        ConfigurationError: the address is wrong, or can't be listened on.
    """
    settings = load_settings(flags)
    port = settings.port if "port" in settings.model_fields_set else PORT
    return listen(settings.host, port)


if __name__ == "__main__":
    sys.exit(main())
