"""/admin: what an operator asks and does. It exists only with an admin key, which it needs."""

from __future__ import annotations

import asyncio
import time
from dataclasses import asdict
from functools import partial

from fastapi import APIRouter, Request, Response

from engine.errors import InvalidInputError
from functions.background import in_background
from functions.json_reader import JsonShape, NestedValueError, read_object
from functions.models import ModelRegistry, ModelState, ServedModel
from functions.observability import get_logger, log_level, set_log_level
from functions.request_body import read_body
from functions.routes.json import json_response
from functions.settings import LogLevel, Settings
from functions.slices import run_in_turns
from functions.version import version


def admin_router(registry: ModelRegistry, settings: Settings) -> APIRouter:
    """State, settings and the few things that can be changed while it runs."""
    router = APIRouter(prefix="/admin", include_in_schema=False)
    started = time.monotonic()

    @router.get("/status")
    async def status() -> Response:
        """Report the queue, the backend and the names of each model."""
        return json_response(
            {
                "status": registry.state().value,
                "version": version(),
                "uptime_seconds": round(time.monotonic() - started, 1),
                "log_level": log_level().value,
                "models": [_report(model) for model in registry.models],
            }
        )

    @router.get("/settings")
    async def read_settings() -> Response:
        """Show the settings in effect, secrets masked."""
        return json_response(settings.redacted() | {"log_level": log_level().value})

    @router.post("/models/{name:path}/reload")
    async def reload(name: str, *, allow_space_change: bool = False) -> Response:
        """Load a model anew from the same place; the old one serves until the new one does."""
        model = registry.get(name)
        started = time.monotonic()
        reloading = partial(model.reload, allow_space_change=allow_space_change)
        await asyncio.wrap_future(in_background(reloading, name="embellama-reload"))
        seconds = round(time.monotonic() - started, 2)
        get_logger().info("model reloaded", model=model.name, seconds=seconds)
        return json_response(_report(model) | {"seconds": seconds})

    @router.post("/drain")
    async def drain() -> Response:
        """Take no more work, for good: only the end of the process follows."""
        registry.drain()
        get_logger().info("draining", signal=None)
        return json_response({"status": registry.state().value})

    @router.put("/log-level")
    async def change_log_level(request: Request) -> Response:
        """Write more or fewer log lines until the process ends."""
        level = await _read_level(await read_body(request))
        set_log_level(level)
        get_logger().warning("log level changed", level_now=level.value)
        return json_response({"level": level.value})

    return router


def _report(model: ServedModel) -> dict[str, object]:
    report: dict[str, object] = {
        "name": model.name,
        "aliases": list(model.aliases),
        "status": model.current_state.value,
    }
    if model.state is not ModelState.READY:
        return report | {"reason": model.detail or model.reason}
    engine = model.engine
    if engine.trouble is not None:
        report["reason"] = engine.trouble
    return report | {
        "space": engine.space,
        "engine": engine.backend.name,
        "device": engine.backend.device,
        "precision": engine.backend.precision,
        "why": engine.reason,
        "queue": asdict(engine.queue_state()),
    }


async def _read_level(body: bytearray) -> LogLevel:
    choices = {level.value: level for level in LogLevel}
    error = InvalidInputError(
        f'Send {{"level": LEVEL}}, LEVEL being one of {", ".join(choices)}.', param="level"
    )
    shape = JsonShape({"level"}, frozenset(), max_items=0, max_numbers=0, unknown=lambda _: error)
    try:
        fields = await run_in_turns(read_object(body, shape))
    except (InvalidInputError, NestedValueError) as exc:
        raise error from exc
    level = fields.get("level")
    if not isinstance(level, str) or level not in choices:
        raise error
    return choices[level]
