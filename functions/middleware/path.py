"""Makes of each path the one that routes know, before any other layer looks at it."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from functions.paths import normal_path


class PathMiddleware:
    """Keys, limits, metrics and the log all see the path that is routed, so none can be evaded."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run one request."""
        if scope["type"] == "http":
            path = normal_path(scope["path"])
            if path != scope["path"]:
                scope["path"] = path
                base = scope.get("root_path", "")
                # A router takes a root path off a path once more: what others see must be routed.
                if base and (path == base or path.startswith(f"{base}/")):
                    scope["root_path"] = ""
        await self.app(scope, receive, send)
