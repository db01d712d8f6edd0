"""Options that only AWS Lambda has, beside those of all targets."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from functions.settings import Settings


class LambdaSettings(Settings):
    """All options of the Lambda target; in the environment with the prefix EMBELLAMA_."""

    cache_directory: Path = Field(
        Path("/tmp/embellama"),  # noqa: S108 - the only place that Lambda lets us write to
        description="Where a fetched bundle and the API keys are kept.",
    )
    api_key_source: str | None = Field(
        None,
        pattern=r"^(ssm:/?[A-Za-z0-9_./-]+|secretsmanager:[A-Za-z0-9_+=.@:/-]+)$",
        description="Further API keys: ssm:NAME or secretsmanager:NAME_OR_ARN. "
        "The value has one key a line, bare or as name:key.",
    )
    api_key_refresh_seconds: float = Field(
        300.0,
        ge=1,
        le=86400,
        description="Age at which the keys of `api_key_source` are fetched anew.",
    )
    api_gateway_base_path: str | None = Field(
        None,
        min_length=1,
        description="Path of the mapping of a custom domain, such as embeddings; "
        "the stage of a URL is found without it.",
    )
