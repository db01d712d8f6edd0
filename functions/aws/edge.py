"""The outermost layer on Lambda: paths below a stage, and errors that nothing else has caught."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from functions.aws.events import base_path_of


class Edge:
    """Takes the stage out of the path. Keeps what the application failed at, if it ever does."""

    def __init__(self, app: ASGIApp, base_path: str | None) -> None:
        self.app = app
        self.base_path = base_path
        self.reached = False
        self.failure: Exception | None = None

    def reset(self) -> None:
        """Forget the last request."""
        self.reached, self.failure = False, None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run one request. Mangum would answer a failure in words of its own."""
        self.reached = True
        try:
            base, is_in_path = base_path_of(scope["aws.event"], self.base_path)
            await self.app(_below(base, is_in_path, scope), receive, send)
        except Exception as exc:  # noqa: BLE001 - kept for the handler, which answers it
            self.failure = exc


def _below(base: str, is_in_path: bool, scope: Scope) -> Scope:
    """The scope with the path as the routes know it, and the base as `root_path` for /docs."""
    path = scope["path"]
    if is_in_path and (path == base or path.startswith(f"{base}/")):
        path = path[len(base) :] or "/"
    # A router takes a root path off the path again: a stage named like a route must not be one.
    is_ambiguous = path == base or path.startswith(f"{base}/")
    return {**scope, "path": path, "root_path": "" if is_ambiguous else base}
