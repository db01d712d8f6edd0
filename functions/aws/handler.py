"""The function that the runtime calls: an event in, an answer out, and never an exception."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, cast

from mangum import Mangum
from mangum.types import LambdaContext
from starlette.responses import Response
from starlette.types import ASGIApp

from engine.errors import EmbellamaError, InvalidInputError
from functions.aws.answer_size import carried_bytes
from functions.aws.edge import Edge
from functions.aws.events import (
    ALLOWANCES,
    Gateway,
    gateway_of,
    is_head,
    is_warm_up,
    with_plain_body,
)
from functions.errors import ResponseTooLargeError, error_response
from functions.observability import get_logger

Answer = dict[str, Any]
_WARM: Answer = {"status": "warm"}


class LambdaHandler:
    """Gives events to the application, one at a time, on an event loop that lives between them.

    Args:
        app: the application.
        base_path: the path of a custom domain's mapping.
        before_request: called before each request, for what must be looked after.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        base_path: str | None = None,
        before_request: Callable[[], None] | None = None,
    ) -> None:
        self._loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self._loop)  # Mangum takes the thread's.
        self._edge = Edge(app, base_path)
        # Mangum would run start-up and shutdown on every event.
        self._adapter = Mangum(self._edge, lifespan="off")
        self._before_request = before_request

    def __call__(self, event: object, context: object) -> Answer:
        """Answer one event."""
        if is_warm_up(event):
            return dict(_WARM)
        gateway = gateway_of(event)
        if gateway is None:
            get_logger().warning("unknown event", keys=_keys(event))
            return self._refuse(
                event, context, "The event is not an HTTP request of a known gateway."
            )
        if self._before_request is not None:
            self._before_request()
        return self._answer(cast("Mapping[str, Any]", event), context, gateway)

    def close(self) -> None:
        """Close the event loop. AWS Lambda never does: it ends the process."""
        asyncio.set_event_loop(None)
        self._loop.close()

    def _answer(self, event: Mapping[str, Any], context: object, gateway: Gateway) -> Answer:
        try:
            plain = with_plain_body(event)
        except (ValueError, TypeError) as exc:
            return self._refuse(event, context, f"The event can't be read: {exc}.")
        self._edge.reset()
        try:
            answer = self._adapter(plain, cast("LambdaContext", context))
        except Exception as exc:  # noqa: BLE001 - an exception would end as the gateway's own 500
            if not self._edge.reached:
                return self._refuse(event, context, "The event can't be read: a part is missing.")
            return _failed(event, context, self._edge.failure or exc)
        if self._edge.failure is not None:
            return _failed(event, context, self._edge.failure)
        limit = ALLOWANCES[gateway].response_bytes
        body = answer.get("body") or ""
        if len(body) > limit // 3 and carried_bytes(body) > limit:
            return _rendered(event, context, _too_large(carried_bytes(body), limit))
        return answer

    def _refuse(self, event: object, context: object, message: str) -> Answer:
        return _rendered(event, context, InvalidInputError(message, param=None))


def _failed(event: object, context: object, exc: Exception) -> Answer:
    get_logger().error("event failed", exc_info=exc)
    return _rendered(event, context, exc)


def _too_large(size: int, limit: int) -> EmbellamaError:
    """For the answer that was larger than predicted: it would end the process of the runtime."""
    get_logger().error("answer larger than predicted", bytes=size, limit=limit)
    return ResponseTooLargeError(
        inputs=0, predicted=size, limit=limit, largest_batch=0, advice="Send fewer inputs."
    )


def _rendered(event: object, context: object, exc: Exception) -> Answer:
    """An error as a gateway takes it, without the application."""
    response: Response = error_response(exc)
    headers = dict(response.headers)
    headers["x-request-id"] = str(getattr(context, "aws_request_id", "") or "unknown")
    answer: Answer = {
        "statusCode": response.status_code,
        "headers": headers,
        "body": "" if is_head(event) else bytes(response.body).decode(),
        "isBase64Encoded": False,
    }
    if isinstance(event, Mapping) and "multiValueHeaders" in event:
        answer["multiValueHeaders"] = {name: [value] for name, value in headers.items()}
    return answer


def _keys(event: object) -> list[str]:
    """What an unknown event looks like, without what it holds."""
    return sorted(map(str, event))[:20] if isinstance(event, Mapping) else [type(event).__name__]
