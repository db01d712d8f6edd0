"""An HTTP server in a thread of this process."""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


class ThreadedServer:
    """Listens on 127.0.0.1, and serves as long as the `with` block runs.

    By default it does not wait for requests that are still answered when the block ends.
    """

    def __init__(
        self,
        handler: Callable[[Any, Any, Any], BaseHTTPRequestHandler],
        *,
        port: int = 0,
        waits_for_requests: bool = False,
    ) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", port), handler)
        self._server.daemon_threads = not waits_for_requests
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}
        )

    def serve(self) -> None:
        """Serve in the caller's thread until interrupted."""
        self._server.serve_forever()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
