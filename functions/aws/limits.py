"""The limits of AWS Lambda and of the gateway in front, told before anything is computed."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from starlette.types import Scope

from engine import Engine
from engine.errors import DeadlineTooNearError
from functions.aws.answer_size import answer_bytes, largest_batch
from functions.aws.events import ALLOWANCES, Allowance, Gateway, gateway_of, started_at
from functions.aws.speed import Speed
from functions.errors import ResponseTooLargeError
from functions.platform_limits import Admit, WantedAnswer

_MARGIN_SECONDS = 0.5
"""Kept for writing the answer and for the gateway to take it."""
_DEFAULT_ALLOWANCE = ALLOWANCES[Gateway.HTTP_API]


class LambdaLimits:
    """Knows each request by the event and the context that Mangum leaves in its scope."""

    def __init__(self, speed: Speed, clock: Callable[[], float] = time.time) -> None:
        self._speed = speed
        self._clock = clock

    def check_answer(self, scope: Scope, wanted: WantedAnswer) -> None:
        """Refuse what would be too large; see `PlatformLimits.check_answer`."""
        limit = _allowance(scope).response_bytes
        predicted = answer_bytes(wanted)
        if predicted > limit:
            raise ResponseTooLargeError(
                inputs=wanted.inputs,
                predicted=predicted,
                limit=limit,
                largest_batch=largest_batch(wanted, limit),
                advice=_advice(wanted),
            )

    def admission(self, scope: Scope, inputs: int, then: Admit | None) -> Admit | None:
        """Refuse what would take too long; see `PlatformLimits.admission`."""

        async def admit(tokens: int) -> None:
            left = self.seconds_left(scope)
            needed = self._speed.seconds(tokens)
            if needed > left:
                share = max(0.0, left) / needed
                raise DeadlineTooNearError(
                    needed_seconds=needed,
                    left_seconds=max(0.0, left),
                    largest_batch=int(inputs * share),
                )
            if then is not None:
                await then(tokens)

        return admit

    def describe(self, scope: Scope, engine: Engine) -> dict[str, object]:
        """The limits as this request's gateway has them."""
        allowance = _allowance(scope)
        full = engine.manifest.output_dimensions
        most = engine.config.max_client_batch_size
        return {
            "max_request_bytes": allowance.request_bytes,
            "max_response_bytes": allowance.response_bytes,
            "max_seconds": allowance.seconds,
            "max_inputs_per_answer": {
                form: min(
                    most, largest_batch(WantedAnswer(1, full, form), allowance.response_bytes)
                )
                for form in ("float", "base64")
            },
        }

    def seconds_left(self, scope: Scope) -> float:
        """Until the gateway or the function gives up, less a margin."""
        context: Any = scope.get("aws.context")
        left = context.get_remaining_time_in_millis() / 1000 if context else float("inf")
        allowance = _allowance(scope)
        if allowance.seconds is not None:
            left = min(left, allowance.seconds - self._waited(scope, allowance.seconds))
        return float(left) - _MARGIN_SECONDS

    def _waited(self, scope: Scope, limit: float) -> float:
        """Seconds since the gateway got the request: a cold start counts, too."""
        since = started_at(scope["aws.event"])
        waited = 0.0 if since is None else self._clock() - since
        return waited if 0.0 < waited < limit else 0.0  # The clocks may differ.


def _allowance(scope: Scope) -> Allowance:
    gateway = gateway_of(scope.get("aws.event"))
    return _DEFAULT_ALLOWANCE if gateway is None else ALLOWANCES[gateway]


def _advice(wanted: WantedAnswer) -> str:
    if wanted.encoding_format == "float":
        return "Send fewer inputs, or encoding_format='base64', or fewer dimensions."
    return "Send fewer inputs, or fewer dimensions where the model offers them."
