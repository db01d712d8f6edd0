"""An HTTP server in a thread of this process."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from functions.targets.greeting import url_of


class ThreadedServer:
    """Listens on 127.0.0.1, or with a socket that does so elsewhere, while the `with` block runs.

    By default it does not wait for requests that are still answered when the block ends.
    """

    def __init__(
        self,
        handler: Callable[[Any, Any, Any], BaseHTTPRequestHandler],
        *,
        listener: socket.socket | None = None,
        waits_for_requests: bool = False,
    ) -> None:
        listener = listener or socket.create_server(("127.0.0.1", 0))
        host, port = listener.getsockname()[:2]
        self._server = ThreadingHTTPServer((host, port), handler, bind_and_activate=False)
        self._server.socket.close()
        self._server.socket = listener
        self._server.daemon_threads = not waits_for_requests
        self.url = url_of(host, port, tls=False)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
