"""What sentence-transformers' own files of a checkpoint say, read as version 6.2 reads them.

Every key is honoured, or known to be without effect on the vector of a text, or refused.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from engine.errors import ExportError
from engine.export.json_files import (
    Json,
    object_at,
    read_json_object,
    read_optional_json,
    refuse_unknown,
    whole_number,
)
from engine.export.sentence_modules import normalizes, pooling_of, read_modules
from engine.prompts import is_unicode
from engine.types import Pooling

_MODEL = "config_sentence_transformers.json"
_UNREAD = "{} is not read, as sentence-transformers reads none of its files without modules.json"
_NAMES = tuple(
    f"sentence_{kind}_config.json"
    for kind in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)
"""Names of the Transformer module's file: the first that is there and not empty counts."""
_OLD_KEYS = {
    "model_args": "model_kwargs",
    "tokenizer_args": "processor_kwargs",
    "config_args": "config_kwargs",
}
_FETCHING = frozenset(
    {"trust_remote_code", "token", "cache_dir", "local_files_only", "revision", "use_fast"}
)
"""Arguments that say how to fetch or load, not what."""
_MODEL_ARGUMENTS = _FETCHING | {
    "attn_implementation",
    "add_pooling_layer",
    "dtype",
    "torch_dtype",
    "low_cpu_mem_usage",
    "use_safetensors",
}
"""Arguments of the model that change how it is computed, not what: here it is always float32."""
_TEXT_ONLY = {"text": {"method": "forward", "method_output_name": "last_hidden_state"}}
_ONLY: Json = {
    "transformer_task": "feature-extraction",
    "modality_config": _TEXT_ONLY,
    "module_output_name": "token_embeddings",
    "processing_kwargs": {},
    "query_length": None,
    "document_length": None,
    "query_expansion": None,
    "tokenizer_name_or_path": None,
}
"""Keys with the only value that works, which is also what counts where they are missing."""
_TRANSFORMER_KEYS = frozenset(_ONLY) | frozenset(_OLD_KEYS) | frozenset(_OLD_KEYS.values())
_WITHOUT_EFFECT = frozenset({"max_seq_length", "do_lower_case", "unpad_inputs"})
"""Read elsewhere, or only about padding."""
_BUILT_IN = ("query", "document")
"""Names that sentence-transformers always knows, with an empty text where none is stated."""


@dataclass(frozen=True, slots=True)
class SentenceFacts:
    """What sentence-transformers' files say.

    `pooling` is None where none is stated; `tokenizer` has arguments that go before
    tokenizer_config.json, and `config` those that go before config.json.
    """

    pooling: Pooling | None = None
    normalize: bool = False
    max_seq_length: int | None = None
    do_lower_case: bool = False
    tokenizer: Json = field(default_factory=dict)
    config: Json = field(default_factory=dict)
    prompts: dict[str, str] = field(default_factory=dict)
    default_prompt_name: str | None = None
    similarity: str | None = None
    truncate_dim: int | None = None
    model: Json = field(default_factory=dict)
    """All of config_sentence_transformers.json."""
    notes: tuple[str, ...] = ()


def read_sentence_files(directory: Path) -> SentenceFacts:
    """Read modules.json, what it names, and the two files of configuration.

    Without modules.json none of them is read, as sentence-transformers reads none; a note says so.

    Raises:
        ExportError: names what can't be honoured.
    """
    modules = read_modules(directory / "modules.json")
    if not modules:
        there = [name for name in (_MODEL, *_NAMES) if (directory / name).exists()]
        return SentenceFacts(notes=tuple(map(_UNREAD.format, there)))
    path = next((directory / name for name in _NAMES if read_optional_json(directory / name)), None)
    transformer = {} if path is None else _transformer(path)
    model_path = directory / _MODEL
    model = read_optional_json(model_path)
    prompts, default = _prompts(model, model_path)
    return SentenceFacts(
        pooling=pooling_of(directory / str(modules["Pooling"])),
        normalize="Normalize" in modules and normalizes(directory / str(modules["Normalize"])),
        max_seq_length=whole_number(transformer, "max_seq_length", str(path)),
        do_lower_case=bool(transformer.get("do_lower_case")),
        tokenizer=transformer.get("processor_kwargs", {}),
        config=transformer.get("config_kwargs", {}),
        prompts=prompts,
        default_prompt_name=default,
        similarity=_similarity(model, model_path),
        truncate_dim=whole_number(model, "truncate_dim", str(model_path)),
        model=model,
    )


def _transformer(path: Path) -> Json:
    document = read_json_object(path)
    refuse_unknown(document, _TRANSFORMER_KEYS | _WITHOUT_EFFECT, str(path))
    for key, only in _ONLY.items():
        if (document.get(key) or only) != only:
            raise ExportError(f"{path} has {key}={document[key]!r}; only {only!r} works.")
    for old, new in _OLD_KEYS.items():
        if old in document:  # It wins, as there.
            document[new] = document.pop(old)
        arguments = object_at(document, new, path)
        document[new] = {key: arguments[key] for key in arguments if key not in _FETCHING}
    refuse_unknown(document["model_kwargs"], _MODEL_ARGUMENTS, f"{path}: model_kwargs")
    return document


def _prompts(model: Json, path: Path) -> tuple[dict[str, str], str | None]:
    """The stated prompts, empty ones too, and the default one."""
    kind = model.get("model_type", "SentenceTransformer")
    if kind != "SentenceTransformer":
        raise ExportError(
            f"{path} says that the model is a {kind}: its outputs are not one vector a text."
        )
    prompts = {}
    for name, text in object_at(model, "prompts", path).items():
        if text is not None and not isinstance(text, str):
            raise ExportError(f"{path} has the prompt {name!r}={text!r}; a text is needed.")
        if not is_unicode(name + (text or "")):
            raise ExportError(f"{path} has the prompt {name!r}, which is not valid Unicode.")
        prompts[name] = text or ""
    default = model.get("default_prompt_name")
    if default is not None and not isinstance(default, str):
        raise ExportError(f"{path} has default_prompt_name={default!r}; a text is needed.")
    if default is not None and default not in (*prompts, *_BUILT_IN):
        raise ExportError(
            f"{path} has default_prompt_name={default!r}, which is not among its prompts: "
            f"{', '.join(sorted(prompts)) or 'there are none'}."
        )
    return prompts, default if prompts.get(str(default)) else None


def _similarity(model: Json, path: Path) -> str | None:
    value = model.get("similarity_fn_name")
    if value is not None and not isinstance(value, str):
        raise ExportError(f"{path} has similarity_fn_name={value!r}; a name is needed.")
    return value
