"""Fields of other APIs that are refused here, and what to send in their place: one table."""

from __future__ import annotations

from collections.abc import Collection

from engine.errors import InvalidInputError
from functions.errors import shorten

_ADVICE = {
    "model": "Send model: a name that GET /v1/models lists.",
    "input": "Send input: a text, a list of texts, or token ids.",
    "encoding_format": "Send encoding_format: 'float' or 'base64'.",
    "dimensions": "Send dimensions: a size that the model offers.",
    "truncate": "Send truncate: 'none', 'end' or 'start'.",
    "prompt_name": "Send prompt_name: one of the model's prompts, which GET /v1/models lists.",
    "input_type": "Send input_type: 'query' or 'document'.",
}
"""What to say of a field of ours."""

_OF_THE_MODEL = "The model decides that; see GET /v1/models."
_AT_THE_START = "The operator decides that, at the server's start; see `embellama serve --help`."

EQUIVALENTS: dict[str, str] = {
    **dict.fromkeys(("deployment", "engine", "model_id", "model_name"), "model"),
    **dict.fromkeys(
        (
            "content",
            "contents",
            "documents",
            "inputs",
            "messages",
            "passages",
            "queries",
            "query",
            "sentences",
            "text",
            "texts",
        ),
        "input",
    ),
    **dict.fromkeys(("embedding_type", "embedding_types", "encodingFormat"), "encoding_format"),
    "output_dtype": "Vectors are of floats only, so leave it out.",
    **dict.fromkeys(
        (
            "dimension",
            "embedding_size",
            "output_dimension",
            "output_dimensionality",
            "outputDimensionality",
            "truncate_dim",
        ),
        "dimensions",
    ),
    **dict.fromkeys(
        (
            "autoTruncate",
            "auto_truncate",
            "max_length",
            "truncate_prompt_tokens",
            "truncation",
            "truncation_direction",
            "truncation_side",
        ),
        "truncate",
    ),
    **dict.fromkeys(("instruction", "promptName", "task"), "prompt_name"),
    **dict.fromkeys(("inputType", "taskType", "task_type"), "input_type"),
    "prompt": "A text to embed goes into input; prompt_name chooses one of the model's prompts.",
    "extra_body": "That is an argument of the Python client: what is in it belongs beside input.",
    "late_chunking": "Each input is embedded by itself.",
    **dict.fromkeys(("image", "images", "modality"), "Only texts are embedded."),
    **dict.fromkeys(("keep_alive", "options"), _AT_THE_START),
    **dict.fromkeys(("normalize", "normalize_embeddings", "normalized", "pooling"), _OF_THE_MODEL),
    "add_special_tokens": "They are added, unless token ids have them.",
    "batch_size": "All inputs of a request may come at once; the server makes the batches.",
    "timeout": "Send the header x-request-timeout-ms.",
}
"""By the name of a field that is not ours: one of ours, or a sentence where there is none."""


def unknown_field(name: str, known: Collection[str]) -> InvalidInputError:
    """The refusal of a field that a request with the `known` ones does not have."""
    shown = shorten(name)
    message = f"{shown} is not a field of this request."
    equivalent = EQUIVALENTS.get(name)
    if equivalent in _ADVICE:
        equivalent = _ADVICE[equivalent] if equivalent in known else None
    return InvalidInputError(f"{message} {equivalent}" if equivalent else message, param=shown)
