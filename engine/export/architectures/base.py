"""What the exporter has to know of one architecture."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Protocol

import gguf

from engine.export.gguf_file import GgufFile
from engine.export.graph import Graph
from engine.export.weights import CheckpointWeights
from engine.types import FloatArray


@dataclass(frozen=True, slots=True)
class CheckpointTensor:
    """A tensor of a checkpoint, less its rows before `first_row`."""

    name: str
    first_row: int = 0

    def read(self, weights: CheckpointWeights) -> FloatArray:
        """The values as float32."""
        values = weights.read(self.name)
        return values[self.first_row :] if self.first_row else values


class Architecture(Protocol):
    """Names, numbers and the graph of one architecture."""

    @property
    def name(self) -> str:
        """`general.architecture` in a GGUF file."""
        ...

    @property
    def checkpoint_type(self) -> str:
        """`Checkpoint.model_type` of the checkpoints that this architecture reads."""
        ...

    def add_hyperparameters(self, writer: gguf.GGUFWriter, config: Mapping[str, Any]) -> None:
        """Write the keys that llama.cpp needs, from a checkpoint's `config.json`.

        Raises:
            ExportError: the configuration asks for something that llama.cpp computes otherwise.
        """
        ...

    def checkpoint_tensors(
        self, config: Mapping[str, Any], names: AbstractSet[str]
    ) -> dict[str, CheckpointTensor]:
        """GGUF tensor names -> checkpoint tensors; `names` are those of the checkpoint.

        Raises:
            ExportError: the checkpoint lacks a tensor, or has one that would be ignored.
        """
        ...

    def check(self, source: GgufFile) -> None:
        """Refuse a file whose tensors and numbers contradict each other; weights are not read.

        Raises:
            ExportError: names the tensor or the number.
        """
        ...

    def add_nodes(self, graph: Graph, source: GgufFile) -> str:
        """Add the nodes from `input_ids` and `attention_mask` (B, T) to token vectors (B, T, D).

        Returns:
            The name of the last output.
        """
        ...
