"""Which model a name means. Several names may mean one model, and one name never means two.

A name of the settings goes before any that a model has by itself; of two models that have the same
one by themselves, the first one has it. `NAME:latest` is NAME, as Ollama's clients write it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

_LATEST = ":latest"


class Named(Protocol):
    """A model with names."""

    @property
    def name(self) -> str | None:
        """The name in answers: the settings', else the manifest's; None until that is read."""
        ...

    @property
    def aliases(self) -> tuple[str, ...]:
        """Further names of the settings."""
        ...

    @property
    def own_names(self) -> tuple[str, ...] | None:
        """Its names by itself, the manifest's first; None while it is loading."""
        ...


ModelT = TypeVar("ModelT", bound=Named)


def find_model(models: Sequence[ModelT], name: str) -> ModelT | None:
    """The model that a name means; None if there is none, or a model that loads may have it."""
    spellings = (name, name.removesuffix(_LATEST)) if name.endswith(_LATEST) else (name,)
    for spelling in spellings:
        for model in models:
            if spelling == model.name or spelling in model.aliases:
                return model
    if any(model.name is None for model in models):
        return None
    for spelling in spellings:
        for model in models:
            if model.own_names is None:
                return None
            if spelling in model.own_names:
                return model
    return None


def names_of(models: Sequence[ModelT], model: ModelT) -> tuple[str, ...]:
    """All names that mean this model, without `:latest`; the one in answers first."""
    names = (model.name or "", *model.aliases, *(model.own_names or ()))
    return tuple(name for name in dict.fromkeys(names) if find_model(models, name) is model)


def listed_names_of(models: Sequence[ModelT], model: ModelT) -> tuple[str, ...]:
    """Those of the settings and the manifest's: what a client is offered to choose from."""
    offered = {model.name, *model.aliases, *(model.own_names or ())[:1]}
    return tuple(name for name in names_of(models, model) if name in offered)


def true_name_of(models: Sequence[ModelT], model: ModelT) -> str:
    """What it is called where nobody has renamed it; the name in answers if that is another's."""
    names = names_of(models, model)
    return next((name for name in (model.own_names or ())[:1] if name in names), names[0])
