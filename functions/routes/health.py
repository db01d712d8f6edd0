"""GET /health, /health/live and /health/ready."""

from __future__ import annotations

import importlib.metadata
import platform

from fastapi import APIRouter, Response

from functions.models import ModelRegistry, ModelState, ServedModel
from functions.routes.json import json_response
from functions.version import version

RUNTIME_PACKAGES = {
    "onnx": ("onnxruntime", "onnxruntime-gpu"),
    "gguf": ("llama-cpp-python",),
    "openvino": ("openvino",),
}
"""Distributions of which one brings the runtime, by the name of the backend."""


def health_router(registry: ModelRegistry) -> APIRouter:
    """The report for people and the two probes for orchestrators."""
    router = APIRouter(prefix="/health", tags=["health"])

    @router.get("")
    async def health() -> Response:
        """Report the state of the server and of each model. Always 200: a probe asks `ready`."""
        models = [_report(model) for model in registry.models]
        return json_response(
            {
                "status": registry.state().value,
                "model": registry.models[0].name,
                "engine": models[0]["engine"],
                "models": models,
                "versions": {"embellama": version(), "python": platform.python_version()},
            }
        )

    @router.get("/live")
    async def live() -> Response:
        """Say that the process answers: 200, or 503 if only a new one can compute."""
        registry.check_live()
        return json_response({"status": "live"})

    @router.get("/ready")
    async def ready() -> Response:
        """Say whether every model can be used: 200, or 503 with the reason."""
        registry.check_ready()
        return json_response({"status": "ready"})

    return router


def _report(model: ServedModel) -> dict[str, object]:
    report: dict[str, object] = {"model": model.name, "status": model.current_state.value}
    trouble = model.trouble
    if trouble is not None:
        report["reason"] = trouble
    if model.state is not ModelState.READY:
        return report | {"engine": None}
    backend = model.engine.backend
    return report | {
        "engine": {
            "name": backend.name,
            "device": backend.device,
            "precision": backend.precision,
            "version": _runtime_version(backend.name),
        },
    }


def _runtime_version(backend: str) -> str | None:
    for package in RUNTIME_PACKAGES.get(backend, ()):
        try:
            return importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None
