"""Types of options that hold several values: a list in a file, a repeated flag, commas."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, SecretStr
from pydantic_settings import NoDecode


def _split(value: object) -> object:
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


Strings = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
"""Several texts; in the environment with commas between them."""

Secrets = Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(_split)]
"""Several texts that no log may show."""
