"""Events as the gateways make them from an HTTP request. The local gateway uses them, too.

Shapes: API Gateway developer guide, "payload format version" 1.0 and 2.0; Lambda developer guide,
"function URL request payload"; Elastic Load Balancing guide, "Lambda functions as targets".
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote

Event = dict[str, Any]


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """What a gateway receives."""

    method: str = "GET"
    path: str = "/"
    query: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    stage: str = "$default"

    @property
    def text(self) -> dict[str, Any]:
        """The body as events hold it: text, or base64 of what is none."""
        if not self.body:
            return {"body": None, "isBase64Encoded": False}
        try:
            return {"body": self.body.decode(), "isBase64Encoded": False}
        except UnicodeDecodeError:
            return {"body": base64.b64encode(self.body).decode(), "isBase64Encoded": True}

    @property
    def staged_path(self) -> str:
        return self.path if self.stage == "$default" else f"/{self.stage}{self.path}"


def http_api(request: HttpRequest, domain: str = "abc.execute-api.eu-central-1.example") -> Event:
    """Payload format version 2.0."""
    event: Event = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": request.staged_path,
        "rawQueryString": request.query,
        "headers": {name.lower(): value for name, value in request.headers.items()},
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "abc",
            "domainName": domain,
            "http": {
                "method": request.method,
                "path": unquote(request.staged_path),
                "protocol": "HTTP/1.1",
                "sourceIp": "192.0.2.1",
                "userAgent": "test",
            },
            "requestId": "JKJaXmPLvHcESHA=",
            "routeKey": "$default",
            "stage": request.stage,
            "timeEpoch": int(time.time() * 1000),
        },
        "isBase64Encoded": False,
    }
    if request.body:
        event |= request.text
    return event


def function_url(request: HttpRequest) -> Event:
    """Like 2.0, below a domain of its own."""
    return http_api(request, domain="abc.lambda-url.eu-central-1.on.aws")


def rest_api(request: HttpRequest) -> Event:
    """The proxy event of REST APIs, whose path lacks the stage."""
    stage = "prod" if request.stage == "$default" else request.stage
    query = parse_qs(request.query, keep_blank_values=True) or None
    return {
        "resource": "/{proxy+}",
        "path": request.path,
        "httpMethod": request.method,
        "headers": request.headers or None,
        "multiValueHeaders": {name: [value] for name, value in request.headers.items()} or None,
        "queryStringParameters": {name: values[-1] for name, values in query.items()}
        if query
        else None,
        "multiValueQueryStringParameters": query,
        "pathParameters": {"proxy": request.path.lstrip("/")},
        "stageVariables": None,
        "requestContext": {
            "accountId": "123456789012",
            "resourcePath": "/{proxy+}",
            "httpMethod": request.method,
            "path": f"/{stage}{request.path}",
            "protocol": "HTTP/1.1",
            "stage": stage,
            "requestTimeEpoch": int(time.time() * 1000),
            "identity": {"sourceIp": "192.0.2.1", "userAgent": "test"},
        },
        **request.text,
    }


def load_balancer(request: HttpRequest) -> Event:
    """An event of a target group without multi-value headers."""
    query = parse_qs(request.query, keep_blank_values=True)
    text = request.text
    return {
        "requestContext": {"elb": {"targetGroupArn": "arn:aws:elasticloadbalancing:x:y:z"}},
        "httpMethod": request.method,
        "path": request.path,
        "queryStringParameters": {name: values[-1] for name, values in query.items()},
        "headers": {"host": "lb.example", "x-forwarded-proto": "https"}
        | {name.lower(): value for name, value in request.headers.items()}
        | {"x-forwarded-for": "192.0.2.1"},
        "body": text["body"] or "",
        "isBase64Encoded": text["isBase64Encoded"],
    }


MAKERS: dict[str, Callable[[HttpRequest], Event]] = {
    "http_api": http_api,
    "rest_api": rest_api,
    "function_url": function_url,
    "load_balancer": load_balancer,
}
