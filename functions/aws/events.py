"""Which gateway sent an event, what it allows, and where it put the application."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

Event: TypeAlias = Mapping[str, Any]


class Gateway(StrEnum):
    """What turns HTTP into events."""

    HTTP_API = "http_api"
    REST_API = "rest_api"
    FUNCTION_URL = "function_url"
    LOAD_BALANCER = "load_balancer"


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a gateway carries. `seconds` is None where only the function's timeout counts."""

    seconds: float | None
    response_bytes: int
    request_bytes: int


FUNCTION_RESPONSE_BYTES = 6_291_556
"""Measured: one more byte ends the process of the runtime."""
_FUNCTION_REQUEST_BYTES = 6 * 1024 * 1024
_LOAD_BALANCER_BYTES = 1024 * 1024

ALLOWANCES = {
    Gateway.HTTP_API: Allowance(30.0, FUNCTION_RESPONSE_BYTES, _FUNCTION_REQUEST_BYTES),
    Gateway.REST_API: Allowance(29.0, FUNCTION_RESPONSE_BYTES, _FUNCTION_REQUEST_BYTES),
    Gateway.FUNCTION_URL: Allowance(None, FUNCTION_RESPONSE_BYTES, _FUNCTION_REQUEST_BYTES),
    Gateway.LOAD_BALANCER: Allowance(None, _LOAD_BALANCER_BYTES, _LOAD_BALANCER_BYTES),
}
"""Quotas of API Gateway (HTTP API 30 s, REST API 29 s) and of Lambda targets of a load balancer
(1 MB each way), as their developer guides have them."""

_SCHEDULED = "Scheduled Event"


def is_warm_up(event: object) -> bool:
    """Whether the event only keeps an environment alive: a schedule, or a plugin's ping."""
    if not isinstance(event, Mapping) or "requestContext" in event:
        return False
    return (
        event.get("detail-type") == _SCHEDULED
        or event.get("warmup") is True
        or event.get("source") == "serverless-plugin-warmup"
    )


def gateway_of(event: object) -> Gateway | None:
    """Who sent the event; None if it is no HTTP request that is known."""
    context = event.get("requestContext") if isinstance(event, Mapping) else None
    if not isinstance(event, Mapping) or not isinstance(context, Mapping):
        return None
    if "elb" in context:
        return Gateway.LOAD_BALANCER
    if event.get("version") == "2.0" and isinstance(context.get("http"), Mapping):
        is_url = ".lambda-url." in str(context.get("domainName", ""))
        return Gateway.FUNCTION_URL if is_url else Gateway.HTTP_API
    if "httpMethod" in event and "path" in event:
        # An HTTP API may send events of the old format, too; they have a version.
        return Gateway.HTTP_API if "version" in event else Gateway.REST_API
    return None


def is_head(event: object) -> bool:
    """Whether the event asks for the headers of an answer only, as far as it can be read."""
    if not isinstance(event, Mapping):
        return False
    context = event.get("requestContext")
    http = context.get("http") if isinstance(context, Mapping) else None
    method = http.get("method") if isinstance(http, Mapping) else event.get("httpMethod")
    return method == "HEAD"


def with_plain_body(event: Event) -> dict[str, Any]:
    """The event with its body as bytes.

    Raises:
        ValueError: the body is no text, or no base64 though it says so.
    """
    body = event.get("body") or b""
    if isinstance(body, str):
        body = body.encode("utf-8")
        if event.get("isBase64Encoded"):
            try:
                body = base64.b64decode(body, validate=True)
            except binascii.Error as exc:
                raise ValueError("the body is said to be base64, but it is not") from exc
    if not isinstance(body, bytes):
        raise TypeError("the body is not a text")
    return {**event, "body": body, "isBase64Encoded": False}


def base_path_of(event: Event, configured: str | None) -> tuple[str, bool]:
    """The path below which clients find the application, `/prod` or nothing; is it in the event's?

    A stage other than `$default` is a part of the URL. HTTP APIs leave it in the path of the
    event, REST APIs do not. A mapping of a custom domain has to be configured.
    """
    if configured:
        return "/" + configured.strip("/"), True
    context = event["requestContext"]
    stage = str(context.get("stage") or "")
    if not stage or stage == "$default":
        return "", False
    path = str((context.get("http") or context).get("path") or "")
    if path != f"/{stage}" and not path.startswith(f"/{stage}/"):
        return "", False
    return f"/{stage}", event.get("path", path) == path


def started_at(event: Event) -> float | None:
    """When the gateway got the request, in seconds since 1970, if it says so."""
    context = event["requestContext"]
    epoch = context.get("timeEpoch", context.get("requestTimeEpoch"))
    return epoch / 1000 if isinstance(epoch, int | float) and epoch > 0 else None
