"""GET /v1/models: OpenAI's shape, and under `embellama` what a client needs to know of a model."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from starlette.types import Scope

from functions.model_names import names_of, true_name_of
from functions.models import ModelRegistry, ServedModel
from functions.platform_limits import PlatformLimits
from functions.routes.json import json_response


def models_router(registry: ModelRegistry, platform: PlatformLimits) -> APIRouter:
    """The list, one model, and their aliases without the version."""
    router = APIRouter(tags=["models"])

    async def list_models(request: Request) -> Response:
        """List the models that can be used now, each under every name that is offered."""
        data = [
            _describe(registry, model, name, platform, request.scope)
            for model, name in registry.listed()
        ]
        return json_response({"object": "list", "data": data})

    async def retrieve_model(request: Request, model_id: str) -> Response:
        """Describe one model, under the name by which it was asked for."""
        model = registry.get(model_id)
        return json_response(_describe(registry, model, model_id, platform, request.scope))

    router.add_api_route("/v1/models", list_models, methods=["GET"])
    router.add_api_route("/models", list_models, methods=["GET"], include_in_schema=False)
    router.add_api_route("/v1/models/{model_id:path}", retrieve_model, methods=["GET"])
    router.add_api_route(
        "/models/{model_id:path}", retrieve_model, methods=["GET"], include_in_schema=False
    )
    return router


def _describe(
    registry: ModelRegistry, model: ServedModel, name: str, platform: PlatformLimits, scope: Scope
) -> dict[str, object]:
    true_name = true_name_of(registry.models, model)
    others = [other for other in names_of(registry.models, model) if other != name]
    return {
        "id": name,
        "object": "model",
        "created": model.created,
        "owned_by": "embellama",
        "embellama": {
            "alias_of": None if name == true_name else true_name,
            "aliases": others,
            **_details(model, platform, scope),
        },
    }


def _details(model: ServedModel, platform: PlatformLimits, scope: Scope) -> dict[str, object]:
    engine = model.engine
    manifest = engine.manifest
    return {
        "space": engine.space,
        "dimensions": manifest.output_dimensions,
        "matryoshka_dimensions": list(manifest.listed_dimensions),
        "limits": {
            "max_input_tokens": engine.max_input_tokens,
            "max_client_batch_size": engine.config.max_client_batch_size,
            "max_request_tokens": engine.config.max_request_tokens,
            **platform.describe(scope, engine),
        },
        "engine": engine.backend.name,
        "device": engine.backend.device,
        "precision": engine.backend.precision,
        "architecture": manifest.architecture,
        "pooling": manifest.pooling.value,
        "normalize": manifest.normalize,
        "prompts": dict(manifest.prompts),
        "certificate": (
            None if manifest.certificate is None else manifest.certificate.model_dump(mode="json")
        ),
    }
