"""What one served model is: where its bundle is, its names, and how its engine runs."""

from __future__ import annotations

from typing import Annotated, Self

import orjson
from pydantic import BeforeValidator, Field
from pydantic_settings import NoDecode

from engine.config import EngineConfig


class ModelOptions(EngineConfig):
    """One table of `models`. An engine's option that is left out is that of the whole server."""

    path: str | None = Field(None, min_length=1, description="As model_path.")
    name: str | None = Field(
        None, min_length=1, description="Name in answers; by default the manifest's."
    )
    aliases: tuple[str, ...] = Field((), description="Further names that clients may ask for.")

    @property
    def names(self) -> tuple[str, ...]:
        """All names that are known before the manifest is read."""
        return self.aliases if self.name is None else (self.name, *self.aliases)

    def engine_config(self) -> EngineConfig:
        """The part that is the engine's."""
        return EngineConfig(**{name: getattr(self, name) for name in EngineConfig.model_fields})

    def over(self, config: EngineConfig) -> Self:
        """These options, and the given ones where nothing was said."""
        inherited = {name: getattr(config, name) for name in EngineConfig.model_fields}
        said = {name: getattr(self, name) for name in self.model_fields_set}
        return self.model_copy(update=inherited | said)


def repeated_name(models: tuple[ModelOptions, ...]) -> str | None:
    """A name that is given twice, if there is one."""
    names = [name for model in models for name in model.names]
    return next((name for name in names if names.count(name) > 1), None)


def _parse(value: object) -> object:
    """A flag or a variable holds JSON: one table, or a list of them."""
    if isinstance(value, str):
        value = _parse_json(value)
        return value if isinstance(value, list) else [value]
    if isinstance(value, list):
        return [_parse_json(item) if isinstance(item, str) else item for item in value]
    return value


def _parse_json(text: str) -> object:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as exc:
        raise ValueError("not valid JSON") from exc


Models = Annotated[tuple[ModelOptions, ...], NoDecode, BeforeValidator(_parse)]
