"""The architectures that can be exported, one file each. A new one is one row in `_ALL`."""

from __future__ import annotations

from engine.errors import UnsupportedArchitectureError
from engine.export.architectures.base import Architecture
from engine.export.architectures.bert import Bert
from engine.export.architectures.jina_bert_v2 import JinaBertV2
from engine.export.architectures.nomic_bert import NomicBert
from engine.export.architectures.roberta import Roberta, XlmRoberta

_ALL: tuple[Architecture, ...] = (Bert(), Roberta(), XlmRoberta(), NomicBert(), JinaBertV2())


def gguf_names() -> list[str]:
    """Architectures of the GGUF files that can be exported; a name may stand for several rows."""
    return list(dict.fromkeys(row.name for row in _ALL))


def checkpoint_types() -> list[str]:
    """Model types of the checkpoints that can be exported."""
    return [row.checkpoint_type for row in _ALL]


def architecture_of_gguf(name: str) -> Architecture:
    """The architecture that a GGUF file names.

    Raises:
        UnsupportedArchitectureError: none of this name.
    """
    for architecture in _ALL:
        if architecture.name == name:
            return architecture
    raise UnsupportedArchitectureError(architecture=name, supported=gguf_names())


def architecture_of_checkpoint(model_type: str) -> Architecture:
    """The architecture for a checkpoint's `model_type`.

    Raises:
        UnsupportedArchitectureError: none reads this type.
    """
    for architecture in _ALL:
        if architecture.checkpoint_type == model_type:
            return architecture
    raise UnsupportedArchitectureError(architecture=model_type, supported=checkpoint_types())
