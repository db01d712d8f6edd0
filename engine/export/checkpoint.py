"""Reads a Hugging Face or sentence-transformers checkpoint directory. Weights stay on disk."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from engine.errors import ExportError
from engine.types import Pooling

Json: TypeAlias = dict[str, Any]

_POOLING_OF_MODE = {
    "cls_token": Pooling.CLS,
    "cls": Pooling.CLS,
    "mean_tokens": Pooling.MEAN,
    "mean": Pooling.MEAN,
    "lasttoken": Pooling.LAST_TOKEN,
}
_MODE_PREFIX = "pooling_mode_"
_MATRYOSHKA_KEYS = ("matryoshka_dimensions", "matryoshka_dims")
_POSITIONS_AFTER_PADDING = frozenset({"roberta", "xlm-roberta"})
"""Model types whose positions count from the padding token's id + 1."""
_NO_LIMIT = 1 << 20
"""Tokenizers without a limit state 1e30; anything from here on is not a limit."""


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """What a checkpoint directory says about its model.

    `pooling` is None where no sentence-transformers files state one. `tokenizer_json` is the text
    of `tokenizer.json` without truncation and padding: those are the engine's.
    """

    directory: Path
    config: Json
    weights: tuple[Path, ...]
    tokenizer_json: str
    pooling: Pooling | None
    normalize: bool
    max_input_tokens: int
    prompts: dict[str, str]
    default_prompt_name: str | None
    matryoshka_dimensions: tuple[int, ...]

    @property
    def model_type(self) -> str:
        """The architecture as Hugging Face names it, such as `bert`.

        Jina's checkpoints of version 2 call themselves `bert`, but have no positions that BERT
        could look up; they are `jina_bert_v2` here.
        """
        kind = str(self.config.get("model_type", ""))
        alibi = self.config.get("position_embedding_type") == "alibi"
        return "jina_bert_v2" if kind == "bert" and alibi else kind

    @classmethod
    def open(cls, directory: Path, *, needs_weights: bool = True) -> Checkpoint:
        """Read all but the weights, whose files must be there if `needs_weights`.

        Raises:
            ExportError: a file is missing or says what this exporter can't honour.
        """
        config = _read_json(directory / "config.json")
        modules = _modules(directory)
        sentence = _read_optional_json(directory / "config_sentence_transformers.json")
        prompts = {str(key): str(value) for key, value in sentence.get("prompts", {}).items()}
        default = sentence.get("default_prompt_name")
        return cls(
            directory=directory,
            config=config,
            weights=_weight_files(directory) if needs_weights else (),
            tokenizer_json=_tokenizer_json(directory / "tokenizer.json"),
            pooling=_pooling(directory, modules),
            normalize="Normalize" in modules,
            max_input_tokens=_max_input_tokens(directory, config),
            prompts={name: text for name, text in prompts.items() if text},
            default_prompt_name=default if prompts.get(default or "") else None,
            matryoshka_dimensions=_matryoshka(config | sentence),
        )


def _modules(directory: Path) -> dict[str, str]:
    """Directories of the sentence-transformers modules by class name; empty where not stated."""
    path = directory / "modules.json"
    if not path.exists():
        return {}
    rows = _read_json(path)
    modules = {row["type"].rsplit(".", 1)[-1]: str(row["path"]) for row in rows}
    unknown = set(modules) - {"Transformer", "Pooling", "Normalize"}
    if unknown:
        raise ExportError(
            f"{path} has modules that can't be exported: {', '.join(sorted(unknown))}. "
            "Only Transformer, Pooling and Normalize can."
        )
    return modules


def _pooling(directory: Path, modules: Mapping[str, str]) -> Pooling | None:
    if "Pooling" not in modules:
        return None
    path = directory / modules["Pooling"] / "config.json"
    config = _read_json(path)
    if config.get("include_prompt") is False:
        raise ExportError(
            f"{path} leaves the prompt's tokens out of pooling (include_prompt: false), "
            "which is not supported."
        )
    modes = [
        key.removeprefix(_MODE_PREFIX)
        for key, value in config.items()
        if key.startswith(_MODE_PREFIX) and value is True
    ]
    modes = modes or [str(config.get("pooling_mode", ""))]
    if len(modes) != 1 or modes[0] not in _POOLING_OF_MODE:
        raise ExportError(
            f"{path} asks for the pooling {' + '.join(modes) or 'none'}. "
            f"Supported: one of {', '.join(_POOLING_OF_MODE)}."
        )
    return _POOLING_OF_MODE[modes[0]]


def _max_input_tokens(directory: Path, config: Json) -> int:
    """What sentence-transformers states, else the tokenizer's, never more than positions allow."""
    stated = _read_optional_json(directory / "sentence_bert_config.json").get("max_seq_length")
    if not stated:
        stated = _read_optional_json(directory / "tokenizer_config.json").get("model_max_length")
    positions = config.get("max_position_embeddings") or config.get("n_positions")
    if positions and config.get("model_type") in _POSITIONS_AFTER_PADDING:
        positions -= int(config.get("pad_token_id") or 0) + 1
    candidates = (stated, positions, config.get("max_trained_positions"))
    limits = [int(value) for value in candidates if value and value < _NO_LIMIT]
    if not limits:
        raise ExportError(f"{directory} states no maximum number of tokens; give one.")
    return min(limits)


def _tokenizer_json(path: Path) -> str:
    document = _read_json(path)
    document["truncation"] = None
    document["padding"] = None
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))


def _weight_files(directory: Path) -> tuple[Path, ...]:
    single = directory / "model.safetensors"
    index = directory / "model.safetensors.index.json"
    if single.exists():
        names = {single.name}
    elif index.exists():
        names = set(_read_json(index)["weight_map"].values())
    else:
        raise ExportError(f"{directory} has no model.safetensors and no index of its parts.")
    missing = sorted(name for name in names if not (directory / name).is_file())
    if missing:
        raise ExportError(f"{directory} lacks the weights {', '.join(missing)}.")
    return tuple(directory / name for name in sorted(names))


def _matryoshka(config: Json) -> tuple[int, ...]:
    for key in _MATRYOSHKA_KEYS:
        if config.get(key):
            return tuple(sorted({int(value) for value in config[key]}, reverse=True))
    return ()


def _read_json(path: Path) -> Any:  # noqa: ANN401 - the file decides
    try:
        return json.loads(path.read_bytes())
    except OSError as exc:
        raise ExportError(f"{path} can't be read: {exc.strerror or exc}.") from exc
    except ValueError as exc:
        raise ExportError(f"{path} is not valid JSON: {exc}.") from exc


def _read_optional_json(path: Path) -> Json:
    document: Json = _read_json(path) if path.exists() else {}
    return document
