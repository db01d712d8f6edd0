"""JSON answers, written by orjson."""

from __future__ import annotations

import orjson
from starlette.responses import Response


def json_response(value: object) -> Response:
    """A 200 with this value as its body."""
    return Response(orjson.dumps(value), media_type="application/json")
