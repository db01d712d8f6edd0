"""POST /v1/tokenize: how long a text is, and which ids it has, without embedding it."""

from __future__ import annotations

from collections.abc import Sequence

import orjson
from fastapi import APIRouter, Request, Response

from engine.types import Encoding
from functions.body_limits import BodyLimits
from functions.disconnect import while_connected
from functions.models import ModelRegistry
from functions.observability import record_of
from functions.request_body import read_json_body
from functions.routes.embeddings import truncation_headers
from functions.schemas import TokenizeRequest


def tokenize_router(registry: ModelRegistry, limits: BodyLimits) -> APIRouter:
    """The route; there is no alias, as OpenAI has no such route."""
    router = APIRouter(tags=["tokenize"])

    @router.post("/v1/tokenize")
    async def tokenize(request: Request) -> Response:
        """Count tokens and show their ids, with prompts and special tokens, as embedding would.

        The same checks apply as for embeddings: a text that is too long is refused with its number
        of tokens, unless `truncate` says otherwise.
        """
        registry.check_accepting()
        wanted = await TokenizeRequest.read(await read_json_body(request), limits)
        model = registry.get(wanted.model)
        record = record_of(request.scope)
        record.fields |= {"model": model.name, "inputs": wanted.input_count}
        with model.use() as engine:
            encodings = await while_connected(
                request.receive,
                engine.tokenize_async(
                    wanted.inputs,
                    truncate=wanted.truncate,
                    prompt_name=wanted.prompt_name_of(engine.manifest.prompts),
                ),
            )
        record.fields["tokens"] = sum(encoding.tokens for encoding in encodings)
        truncated = [index for index, encoding in enumerate(encodings) if encoding.truncated]
        record.add_truncated(len(truncated))
        return Response(
            _body(model.name or wanted.model, engine.max_input_tokens, encodings),
            headers=truncation_headers(truncated),
            media_type="application/json",
        )

    return router


def _body(model: str, max_input_tokens: int, encodings: Sequence[Encoding]) -> bytes:
    return orjson.dumps(
        {
            "object": "list",
            "data": [
                {
                    "object": "tokens",
                    "index": index,
                    "tokens": encoding.tokens,
                    "input_ids": encoding.input_ids,
                    "truncated": encoding.truncated,
                }
                for index, encoding in enumerate(encodings)
            ],
            "model": model,
            "total_tokens": sum(encoding.tokens for encoding in encodings),
            "max_input_tokens": max_input_tokens,
        },
        option=orjson.OPT_SERIALIZE_NUMPY,
    )
