"""POST /v1/embeddings."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from functools import partial

from fastapi import APIRouter, Request, Response

from engine import Engine
from engine.errors import SpaceMismatchError
from functions.body_limits import BodyLimits
from functions.disconnect import while_connected
from functions.encoding import ROWS_AT_ONCE, encode_embeddings
from functions.headers import header_of
from functions.middleware.compression import leave_uncompressed
from functions.middleware.deadline import seconds_left
from functions.middleware.rate_limit import take_tokens_of
from functions.models import ModelRegistry
from functions.observability import record_of
from functions.platform_limits import PlatformLimits, WantedAnswer
from functions.request_body import read_json_body
from functions.routes.direct import DirectRoute
from functions.schemas import EmbeddingsRequest


def add_embeddings_routes(
    router: APIRouter, registry: ModelRegistry, platform: PlatformLimits, limits: BodyLimits
) -> None:
    """Add the route and its alias without the version."""

    async def create_embeddings(request: Request) -> Response:
        """Turn texts or token ids into vectors."""
        registry.check_accepting()  # First, so that a request that came before a drain is served.
        wanted = await EmbeddingsRequest.read(await read_json_body(request), limits)
        return await _embed(registry, platform, request, wanted)

    for path in ("/v1/embeddings", "/embeddings"):
        router.add_api_route(
            path,
            create_embeddings,
            methods=["POST"],
            tags=["embeddings"],
            include_in_schema=path.startswith("/v1/"),
            route_class_override=DirectRoute,
        )


async def _embed(
    registry: ModelRegistry, platform: PlatformLimits, request: Request, wanted: EmbeddingsRequest
) -> Response:
    record = record_of(request.scope)
    model = registry.get(wanted.model)
    record.fields |= {"model": model.name, "inputs": wanted.input_count}
    if wanted.user is not None:
        record.add_user(wanted.user)
    with model.use() as engine:
        required = header_of(request.scope, b"x-embellama-require-space")
        if required not in (None, engine.space):
            raise SpaceMismatchError(required=required, served=engine.space)
        platform.check_answer(request.scope, _answer_to(wanted, engine))
        started = time.perf_counter()
        result = await while_connected(
            request.receive,
            engine.embed_async(
                wanted.inputs,
                dimensions=wanted.dimensions,
                truncate=wanted.truncate,
                prompt_name=wanted.prompt_name_of(engine.manifest.prompts),
                deadline_seconds=seconds_left(request.scope),
                admit=platform.admission(
                    request.scope, wanted.input_count, take_tokens_of(request.scope)
                ),
            ),
        )
        name = model.name or wanted.model
        record.add_result(result, model=name, started=started)
        if wanted.encoding_format == "base64":
            leave_uncompressed(request.scope)
        encode = partial(
            encode_embeddings, result, model=name, encoding_format=wanted.encoding_format
        )
        with record.encoding():  # Many vectors on a thread: others are not to wait for all of them.
            many = len(result.vectors) > ROWS_AT_ONCE
            body = await asyncio.to_thread(encode) if many else encode()
        headers = {"x-embellama-space": engine.space} | truncation_headers(result.truncated)
        return Response(body, headers=headers, media_type="application/json")


def _answer_to(wanted: EmbeddingsRequest, engine: Engine) -> WantedAnswer:
    manifest = engine.manifest
    return WantedAnswer(
        inputs=min(wanted.input_count, engine.config.max_client_batch_size),
        dimensions=min(wanted.dimensions or manifest.output_dimensions, manifest.dimensions),
        encoding_format=wanted.encoding_format,
    )


def truncation_headers(truncated: Sequence[int]) -> dict[str, str]:
    """The header that lists the inputs that were cut, if there are any."""
    return {"x-embellama-truncated": ",".join(runs(truncated))} if truncated else {}


def runs(indices: Sequence[int]) -> list[str]:
    """Rising indices with neighbours joined: 0, 1, 2, 5 -> `0-2`, `5`.

    2,048 single indices would make a header of 9 kB, and proxies refuse more than 4 or 8.
    """
    found: list[tuple[int, int]] = []
    for index in indices:
        if found and found[-1][1] == index - 1:
            found[-1] = (found[-1][0], index)
        else:
            found.append((index, index))
    return [str(first) if first == last else f"{first}-{last}" for first, last in found]
