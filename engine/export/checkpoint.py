"""Reads a Hugging Face or sentence-transformers checkpoint directory. Weights stay on disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from engine.errors import ExportError
from engine.export.json_files import Json, object_at, path_within, read_json_object, whole_number
from engine.export.sentence_files import SentenceFacts, read_sentence_files
from engine.export.tokenizer_files import read_tokenizer
from engine.types import Pooling

_MATRYOSHKA_KEYS = ("matryoshka_dimensions", "matryoshka_dims")
_POSITIONS = ("max_position_embeddings", "n_positions", "max_trained_positions")
POSITIONS_AFTER_PADDING = frozenset({"roberta", "xlm-roberta"})
"""Model types whose positions count from the padding token's id + 1."""
_WITHOUT_CODE = frozenset({"bert", "roberta", "xlm-roberta"})
"""Model types that are computed here as transformers' own classes compute them."""
_NO_LIMIT = 1 << 20
"""Tokenizers without a limit state 1e30; anything from here on is not a limit."""


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """What a checkpoint directory says about its model.

    `pooling` is None where no sentence-transformers files state one. `tokenizer_json` is the text
    of `tokenizer.json` as transformers would change it, without truncation and padding: those are
    the engine's. `notes` say what was changed.
    """

    directory: Path
    config: Json
    """config.json with the arguments that sentence-transformers' files give."""
    config_arguments: tuple[str, ...]
    """Names of these."""
    weights: tuple[Path, ...]
    tokenizer_json: str
    pooling: Pooling | None
    normalize: bool
    similarity: str | None
    max_input_tokens: int
    prompts: dict[str, str]
    default_prompt_name: str | None
    matryoshka_dimensions: tuple[int, ...]
    default_dimensions: int | None
    notes: tuple[str, ...]

    @property
    def model_type(self) -> str:
        """The architecture as Hugging Face names it, such as `bert`.

        Jina's checkpoints of version 2 call themselves `bert`, but have no positions that BERT
        could look up; they are `jina_bert_v2` here.
        """
        return _model_type(self.config)

    @classmethod
    def open(cls, directory: Path, *, needs_weights: bool = True) -> Checkpoint:
        """Read all but the weights, whose files must be there if `needs_weights`.

        Raises:
            ExportError: a file is missing or says what this exporter can't honour.
        """
        sentence = read_sentence_files(directory)
        config = read_json_object(directory / "config.json") | sentence.config
        _refuse_code(directory, config)
        tokenizer = read_tokenizer(
            directory, config, sentence.tokenizer, do_lower_case=sentence.do_lower_case
        )
        return cls(
            directory=directory,
            config=config,
            config_arguments=tuple(sentence.config),
            weights=_weight_files(directory) if needs_weights else (),
            tokenizer_json=tokenizer.tokenizer_json,
            pooling=sentence.pooling,
            normalize=sentence.normalize,
            similarity=sentence.similarity,
            max_input_tokens=_max_input_tokens(directory, config, sentence, tokenizer.limit),
            prompts=sentence.prompts,
            default_prompt_name=sentence.default_prompt_name,
            matryoshka_dimensions=_matryoshka(config | sentence.model),
            default_dimensions=sentence.truncate_dim,
            notes=(*sentence.notes, *tokenizer.notes),
        )


def _model_type(config: Json) -> str:
    kind = str(config.get("model_type", ""))
    alibi = config.get("position_embedding_type") == "alibi"
    return "jina_bert_v2" if kind == "bert" and alibi else kind


def _refuse_code(directory: Path, config: Json) -> None:
    """Refuse what changes a model from without: an adapter, or code of its own."""
    if (directory / "adapter_config.json").exists():
        raise ExportError(
            f"{directory} has an adapter (adapter_config.json). Merge it into the weights first: "
            "model.merge_and_unload()."
        )
    code = object_at(config, "auto_map", directory / "config.json")
    if "AutoModel" in code and _model_type(config) in _WITHOUT_CODE:
        raise ExportError(
            f"{directory / 'config.json'} says that its model has code of its own "
            f"(auto_map: {code['AutoModel']}): what it computes is not known here."
        )


def _max_input_tokens(
    directory: Path, config: Json, sentence: SentenceFacts, limit: int | None
) -> int:
    """What sentence-transformers states, else the tokenizer's, never more than positions allow."""
    stated = sentence.max_seq_length if sentence.max_seq_length is not None else limit
    if "model_max_length" in sentence.tokenizer:
        stated = limit
    where = str(directory / "config.json")
    positions, own, trained = (whole_number(config, key, where) for key in _POSITIONS)
    positions = own if positions is None else positions
    if positions and _model_type(config) in POSITIONS_AFTER_PADDING:
        padding = config.get("pad_token_id") or 0
        if not isinstance(padding, int):
            raise ExportError(f"{where} has pad_token_id={padding!r}; a whole number is needed.")
        positions -= padding + 1
    candidates = (stated, positions, trained)
    limits = [value for value in candidates if value is not None and value < _NO_LIMIT]
    if not limits:
        raise ExportError(
            f"{directory} states no maximum number of tokens: give it as max_seq_length in its "
            "sentence_bert_config.json."
        )
    return min(limits)


def _weight_files(directory: Path) -> tuple[Path, ...]:
    single = directory / "model.safetensors"
    index = directory / "model.safetensors.index.json"
    if single.exists():
        names = {single.name}
    elif index.exists():
        named = object_at(read_json_object(index), "weight_map", index).values()
        names = {str(name) for name in named if path_within(directory, name, index)}
    else:
        raise ExportError(f"{directory} has no model.safetensors and no index of its parts.")
    missing = sorted(name for name in names if not (directory / name).is_file())
    if missing:
        raise ExportError(f"{directory} lacks the weights {', '.join(missing)}.")
    return tuple(directory / name for name in sorted(names))


def _matryoshka(config: Json) -> tuple[int, ...]:
    for key in _MATRYOSHKA_KEYS:
        sizes = config.get(key)
        if not sizes:
            continue
        if not isinstance(sizes, list) or not all(type(size) is int for size in sizes):
            raise ExportError(f"The checkpoint has {key}={sizes!r}; whole numbers are needed.")
        return tuple(sorted(set(sizes), reverse=True))
    return ()
