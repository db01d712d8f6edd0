"""Which route a request asked for that was refused before any route was looked for."""

from __future__ import annotations

import re
from collections.abc import Sequence

from fastapi.routing import iter_route_contexts
from starlette.routing import BaseRoute
from starlette.types import Scope


class RouteNames:
    """Finds routes by path, cheaply: a flood of refused requests asks it, too."""

    def __init__(self, routes: Sequence[BaseRoute]) -> None:
        self._exact: set[str] = set()
        self._patterns: list[tuple[re.Pattern[str], str]] = []
        for context in iter_route_contexts(routes):
            path = context.path
            if path is not None and "{" in path:
                self._patterns.append((context.path_regex, path))
            elif path is not None:
                self._exact.add(path)

    def find(self, scope: Scope) -> str | None:
        """The path of the route, as it was declared; None if there is none."""
        path: str = scope["path"]
        root = scope.get("root_path", "")
        if root and path.startswith(f"{root}/"):
            path = path[len(root) :]
        if path in self._exact:
            return path
        return next((name for pattern, name in self._patterns if pattern.match(path)), None)
