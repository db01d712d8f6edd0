"""Facts of published models that a GGUF file has no key for: prompts, and a limit of tokens.

Only what the model's own card or its sentence-transformers files say. A model is known by its
name, and by its architecture, dimensions and blocks, so that another model of the same name is
not taken for it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from engine.export.gguf_file import GgufFile

_SEARCH = {"query": "Represent this sentence for searching relevant passages: "}
_E5 = {"query": "query: ", "passage": "passage: "}
_NOMIC = {
    "search_query": "search_query: ",
    "search_document": "search_document: ",
    "clustering": "clustering: ",
    "classification": "classification: ",
}


@dataclass(frozen=True, slots=True)
class KnownModel:
    """`max_input_tokens` is None where the limit is that of the model's positions."""

    architecture: str
    dimensions: int
    blocks: int
    prompts: Mapping[str, str] = field(default_factory=dict)
    max_input_tokens: int | None = None


KNOWN_MODELS: Mapping[str, KnownModel] = {
    "all-minilm-l6-v2": KnownModel("bert", 384, 6, max_input_tokens=256),
    "all-minilm-l12-v2": KnownModel("bert", 384, 12, max_input_tokens=128),
    "paraphrase-minilm-l6-v2": KnownModel("bert", 384, 6, max_input_tokens=128),
    "paraphrase-multilingual-minilm-l12-v2": KnownModel("bert", 384, 12, max_input_tokens=128),
    "nomic-embed-text-v1": KnownModel("nomic-bert", 768, 12, _NOMIC),
    "nomic-embed-text-v1.5": KnownModel("nomic-bert", 768, 12, _NOMIC),
    "e5-small": KnownModel("bert", 384, 12, _E5),
    "e5-base": KnownModel("bert", 768, 12, _E5),
    "e5-large": KnownModel("bert", 1024, 24, _E5),
    "e5-small-v2": KnownModel("bert", 384, 12, _E5),
    "e5-base-v2": KnownModel("bert", 768, 12, _E5),
    "e5-large-v2": KnownModel("bert", 1024, 24, _E5),
    "multilingual-e5-small": KnownModel("bert", 384, 12, _E5),
    "multilingual-e5-base": KnownModel("bert", 768, 12, _E5),
    "multilingual-e5-large": KnownModel("bert", 1024, 24, _E5),
    "bge-small-en-v1.5": KnownModel("bert", 384, 12, _SEARCH),
    "bge-base-en-v1.5": KnownModel("bert", 768, 12, _SEARCH),
    "bge-large-en-v1.5": KnownModel("bert", 1024, 24, _SEARCH),
    "bge-m3": KnownModel("bert", 1024, 24),
    "mxbai-embed-large-v1": KnownModel("bert", 1024, 24, _SEARCH),
    "snowflake-arctic-embed-xs": KnownModel("bert", 384, 6, _SEARCH),
    "snowflake-arctic-embed-s": KnownModel("bert", 384, 12, _SEARCH),
    "snowflake-arctic-embed-m": KnownModel("bert", 768, 12, _SEARCH),
    "snowflake-arctic-embed-m-v1.5": KnownModel("bert", 768, 12, _SEARCH),
    "snowflake-arctic-embed-l": KnownModel("bert", 1024, 24, _SEARCH),
    "snowflake-arctic-embed-l-v2.0": KnownModel("bert", 1024, 24, {"query": "query: "}),
    "gte-small": KnownModel("bert", 384, 12),
    "gte-base": KnownModel("bert", 768, 12),
    "gte-large": KnownModel("bert", 1024, 24),
    "jina-embeddings-v2-small-en": KnownModel("jina-bert-v2", 512, 4),
    "jina-embeddings-v2-base-en": KnownModel("jina-bert-v2", 768, 12),
}
"""By the name on the hub, without its owner, in lower case."""


def known_model(file: GgufFile) -> tuple[str, KnownModel] | None:
    """The published model that a file says it is, if its sizes agree."""
    for name in _names(file):
        model = KNOWN_MODELS.get(name)
        sizes = (file.architecture, file.number("embedding_length"), file.number("block_count"))
        if model is not None and (model.architecture, model.dimensions, model.blocks) == sizes:
            return name, model
    return None


def _names(file: GgufFile) -> list[str]:
    """What the header calls the model; converters write `All MiniLM L6 v2` or the hub's name."""
    name, base, version = (
        file.optional(f"general.{key}") for key in ("name", "basename", "version")
    )
    stated = [name, f"{base}-{version}" if base and version else base]
    return [_plain(row) for row in stated if isinstance(row, str)]


def _plain(name: str) -> str:
    return re.sub(r"[\s_]+", "-", name.strip().rsplit("/", 1)[-1]).lower()
