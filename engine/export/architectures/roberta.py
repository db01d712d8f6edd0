"""RoBERTa (Liu et al. 2019) and XLM-R (Conneau et al. 2020): BERT in another checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.export.architectures.bert import Bert
from engine.export.architectures.checks import number


class Roberta(Bert):
    """Checkpoints of the model type `roberta`; as GGUF they are `bert`.

    Their positions count from the id of the padding token + 1, and the rows before that are
    never used. llama.cpp counts from 0, so these rows are dropped.
    """

    checkpoint_type = "roberta"
    prefix = "roberta."

    def first_position(self, config: Mapping[str, Any]) -> int:
        """Row of the first token's position."""
        return number(config, "pad_token_id") + 1


class XlmRoberta(Roberta):
    """Checkpoints of the model type `xlm-roberta`."""

    checkpoint_type = "xlm-roberta"
