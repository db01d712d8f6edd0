"""The padding token of models that count positions by it."""

from __future__ import annotations

import json

import tokenizers

from engine.errors import ExportError
from engine.export.architectures.checks import number
from engine.export.checkpoint import POSITIONS_AFTER_PADDING, Checkpoint


def check_padding(checkpoint: Checkpoint) -> None:
    """Refuse a padding token that texts have by themselves.

    transformers gives RoBERTa's padding tokens no position of their own. Here each token has the
    next one, which is the same as long as no text has a padding token.

    Raises:
        ExportError: texts have it.
    """
    if checkpoint.model_type not in POSITIONS_AFTER_PADDING:
        return
    padding = number(checkpoint.config, "pad_token_id")
    tokenizer = tokenizers.Tokenizer.from_str(checkpoint.tokenizer_json)
    token = tokenizer.id_to_token(padding)
    if token is None:
        return
    model = json.loads(checkpoint.tokenizer_json)["model"]
    if padding in tokenizer.encode("").ids:
        fault = "which every text has"
    elif padding == model.get("unk_id") or token == model.get("unk_token"):
        fault = "which stands for what is unknown"
    elif padding not in tokenizer.get_added_tokens_decoder():
        fault = "which is a token of texts"
    else:
        return
    raise ExportError(
        f"{checkpoint.directory / 'config.json'} has pad_token_id={padding}, that is {token!r}, "
        f"{fault}: the model's positions would depend on it, which is not supported."
    )
