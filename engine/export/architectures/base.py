"""What the exporter has to know of one architecture."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Protocol

import gguf

from engine.export.gguf_file import GgufFile
from engine.export.graph import Graph


class Architecture(Protocol):
    """Names, numbers and the graph of one architecture."""

    @property
    def name(self) -> str:
        """`general.architecture` in a GGUF file."""
        ...

    @property
    def checkpoint_types(self) -> frozenset[str]:
        """`model_type` of the checkpoints that this architecture reads."""
        ...

    def add_hyperparameters(self, writer: gguf.GGUFWriter, config: Mapping[str, Any]) -> None:
        """Write the keys that llama.cpp needs, from a checkpoint's `config.json`.

        Raises:
            ExportError: the configuration asks for something that llama.cpp computes otherwise.
        """
        ...

    def checkpoint_tensors(
        self, config: Mapping[str, Any], names: AbstractSet[str]
    ) -> dict[str, str]:
        """GGUF tensor names -> checkpoint tensor names; `names` are those of the checkpoint.

        Raises:
            ExportError: the checkpoint lacks a tensor, or has one that would be ignored.
        """
        ...

    def add_nodes(self, graph: Graph, source: GgufFile) -> str:
        """Add the nodes from `input_ids` and `attention_mask` (B, T) to token vectors (B, T, D).

        Returns:
            The name of the last output.
        """
        ...
