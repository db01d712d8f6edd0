"""The architectures that can be exported, one file each. A new one is one row in `_ALL`."""

from __future__ import annotations

from engine.errors import UnsupportedArchitectureError
from engine.export.architectures.base import Architecture
from engine.export.architectures.bert import Bert

_ALL: tuple[Architecture, ...] = (Bert(),)


def architecture_of_gguf(name: str) -> Architecture:
    """The architecture that a GGUF file names.

    Raises:
        UnsupportedArchitectureError: none of this name.
    """
    for architecture in _ALL:
        if architecture.name == name:
            return architecture
    raise UnsupportedArchitectureError(architecture=name, supported=[row.name for row in _ALL])


def architecture_of_checkpoint(model_type: str) -> Architecture:
    """The architecture for a checkpoint's `model_type`.

    Raises:
        UnsupportedArchitectureError: none reads this type.
    """
    for architecture in _ALL:
        if architecture.checkpoint_type == model_type:
            return architecture
    supported = [row.checkpoint_type for row in _ALL]
    raise UnsupportedArchitectureError(architecture=model_type, supported=supported)
