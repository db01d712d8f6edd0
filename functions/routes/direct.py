"""A route for which nothing stands between the server and its function."""

from __future__ import annotations

from fastapi import HTTPException, Request
from fastapi.routing import APIRoute
from starlette.types import Receive, Scope, Send


class DirectRoute(APIRoute):
    """Calls a function of one request that gives the whole answer.

    It is described in the OpenAPI document as any other. But FastAPI's parameters, dependencies
    and response models, none of which such a function has, are not looked for: that saves a sixth
    of the time that a request takes besides the engine's.
    """

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request.

        Raises:
            HTTPException: its method is not one of the route's.
        """
        methods = self.methods or ()
        if scope["method"] not in methods:
            raise HTTPException(405, headers={"Allow": ", ".join(sorted(methods))})
        response = await self.endpoint(Request(scope, receive, send))
        await response(scope, receive, send)
