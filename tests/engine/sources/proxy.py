"""An HTTP proxy in front of a real S3 API that does wrong what it is told to, once each."""

from __future__ import annotations

import http.client
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import TypeAlias

from tests.threaded_server import ThreadedServer


@dataclass
class Answer:
    """What goes back: all headers as given, but at most `cut` bytes of the body."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    cut: int | None = None


Fault: TypeAlias = Callable[[Answer], Answer]


def cut_after(size: int) -> Fault:
    """Break the connection after that many bytes of the body."""
    return lambda answer: Answer(answer.status, answer.headers, answer.body, cut=size)


def error(status: int, code: str) -> Fault:
    """Answer with an S3 error."""
    body = f"<Error><Code>{code}</Code><Message>told to</Message></Error>".encode()
    headers = [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))]
    return lambda _: Answer(status, headers, body)


def replace_body(change: Callable[[bytes], bytes]) -> Fault:
    """Answer with other content, and with its true length."""

    def fault(answer: Answer) -> Answer:
        body = change(answer.body)
        headers = [(k, v) for k, v in answer.headers if k.lower() != "content-length"]
        return Answer(answer.status, [*headers, ("Content-Length", str(len(body)))], body)

    return fault


@dataclass(frozen=True)
class Seen:
    """One request, as far as tests look at it."""

    path: str
    range: str | None
    if_match: str | None


@dataclass
class Proxy:
    """Where it listens, what it saw, and the faults of the next answers by object name."""

    url: str
    seen: list[Seen] = field(default_factory=list)
    faults: dict[str, list[Fault]] = field(default_factory=dict)

    def asked_for(self, name: str) -> list[Seen]:
        return [seen for seen in self.seen if seen.path.rsplit("/", 1)[-1] == name]


@contextmanager
def proxy_to(host: str, port: int) -> Iterator[Proxy]:
    """A proxy on a free port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.split("?")[0]
            headers = self.headers
            proxy.seen.append(Seen(path, headers["Range"], headers["If-Match"]))
            connection = http.client.HTTPConnection(host, port, timeout=30)
            connection.request("GET", self.path, headers=dict(headers.items()))
            response = connection.getresponse()
            answer = Answer(response.status, response.getheaders(), response.read())
            connection.close()
            waiting = proxy.faults.get(path.rsplit("/", 1)[-1], [])
            self.reply(waiting.pop(0)(answer) if waiting else answer)

        def reply(self, answer: Answer) -> None:
            self.send_response_only(answer.status)
            for name, value in answer.headers:
                if name.lower() not in ("connection", "transfer-encoding"):
                    self.send_header(name, value)
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(answer.body[: answer.cut])

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
            """Say nothing."""

    server = ThreadedServer(Handler, waits_for_requests=True)
    proxy = Proxy(server.url)
    with server:
        yield proxy
