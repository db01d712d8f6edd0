"""Asks the server at argv[1] through litellm, in an environment of its own; prints what came."""

import json
import os
import sys

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # or it is fetched at the import

import litellm  # type: ignore[import-not-found]  # not in our environment

BASE = {"model": "openai/fake-model", "api_base": f"{sys.argv[1]}/v1", "api_key": "any"}


def embed(inputs: object, **options: object) -> dict[str, object]:
    """Vectors and usage."""
    answer = litellm.embedding(input=inputs, max_retries=0, **BASE, **options)
    return {
        "vectors": [item["embedding"] for item in answer.data],
        "tokens": answer.usage.prompt_tokens,
    }


def refusal(inputs: object) -> dict[str, object]:
    """The error of the client."""
    try:
        embed(inputs)
    except Exception as exc:  # noqa: BLE001 - its class is what is asked for
        return {"kind": type(exc).__name__, "message": str(exc)}
    return {}


print(
    json.dumps(
        {
            "text": embed("the cat"),
            "texts": embed(["the cat", "a dog sat"]),
            "base64": embed(["the cat"], encoding_format="base64"),
            "long": refusal("cat " * 100),
        }
    )
)
