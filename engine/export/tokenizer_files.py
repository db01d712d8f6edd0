"""The tokenizer of a checkpoint: tokenizer.json as transformers would change it.

tokenizer_config.json, special_tokens_map.json, added_tokens.json and the arguments in
sentence_bert_config.json all have a say in the ids of a text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.errors import ExportError
from engine.export.added_tokens import LISTED, MORE_TOKENS, added_tokens, content_of, parsed
from engine.export.json_files import (
    Json,
    read_json_object,
    read_optional_json,
    refuse_unknown,
    whole_number,
)
from engine.export.tokenizer_classes import (
    TokenizerClass,
    rules_of,
    steps_of,
    tokenizer_class_of,
)
from engine.model_files import MAX_TOKENIZER_BYTES

_CONFIG = "tokenizer_config.json"
_ROLES = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")
_ARGUMENTS = frozenset(
    {"do_lower_case", "strip_accents", "tokenize_chinese_chars", "add_prefix_space"}
    | {"trim_offsets", "model_max_length", "truncation_side", "padding_side", "errors"}
    | {"clean_up_tokenization_spaces", "split_special_tokens", "model_input_names"}
    | {*MORE_TOKENS, *(f"{role}_token" for role in _ROLES)}
)
"""Of those that sentence_bert_config.json may give, the ones that are looked at."""


@dataclass(frozen=True, slots=True)
class TokenizerFacts:
    """The text of `tokenizer.json` without truncation and padding: those are the engine's.

    `limit` is the number of tokens that the tokenizer states, None where it states none.
    """

    tokenizer_json: str
    limit: int | None
    notes: tuple[str, ...]


def read_tokenizer(
    directory: Path,
    config: Mapping[str, Any],
    arguments: Mapping[str, Any],
    *,
    do_lower_case: bool,
) -> TokenizerFacts:
    """Read the files of a tokenizer.

    Args:
        directory: that of the checkpoint.
        config: config.json.
        arguments: what goes before tokenizer_config.json.
        do_lower_case: whether sentence-transformers lowers the case before all else.

    Raises:
        ExportError: a file is missing, or what one says can't be honoured.
    """
    path = directory / "tokenizer.json"
    if not path.exists():
        raise ExportError(
            f"{path} is missing. Make it with transformers: AutoTokenizer.from_pretrained("
            f"{str(directory)!r}).save_pretrained({str(directory)!r})."
        )
    document = read_json_object(path, MAX_TOKENIZER_BYTES) | {"truncation": None, "padding": None}
    refuse_unknown(arguments, _ARGUMENTS, "the tokenizer's arguments of sentence-transformers")
    try:
        return _read(document, directory, config, arguments, do_lower_case=do_lower_case)
    except (AttributeError, KeyError, TypeError, ValueError) as exc:
        raise ExportError(
            f"{path}, or tokenizer_config.json ({LISTED}) beside it, is damaged: {exc!r}."
        ) from exc


def _read(
    document: Json,
    directory: Path,
    config: Mapping[str, Any],
    arguments: Mapping[str, Any],
    *,
    do_lower_case: bool,
) -> TokenizerFacts:
    stated = _stated(directory, arguments)
    name = tokenizer_class_of(stated, config)
    rules = rules_of(name, document)
    notes = []
    if stated.get("truncation_side") == "left":
        notes.append("the tokenizer cuts long texts at the start; here requests say where")
    before = dict(document)
    if rules is not None:
        _rebuild(document, rules, stated)
    if do_lower_case:
        document["normalizer"] = _lowercased(document["normalizer"])
    document["added_tokens"] = added_tokens(document, rules, stated, directory, config)
    changed = sorted(key for key in document if document[key] != before[key])
    notes += [f"tokenizer.json's {key} is changed as {_CONFIG} says ({name})" for key in changed]
    key = "model_max_length" if "model_max_length" in stated else "max_len"
    limit = whole_number(stated, key, str(directory / _CONFIG))
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    return TokenizerFacts(text, limit, tuple(notes))


def _stated(directory: Path, arguments: Mapping[str, Any]) -> Json:
    stated = read_optional_json(directory / _CONFIG)
    if LISTED not in stated:
        stated |= read_optional_json(directory / "special_tokens_map.json")
    stated |= arguments
    code = stated.get("auto_map")
    if code and (not isinstance(code, dict) or code.get("AutoTokenizer")):
        raise ExportError(
            f"{directory / _CONFIG} names a tokenizer with code of its own (auto_map), whose ids "
            "are not known here."
        )
    for key in ("split_special_tokens", "init_inputs"):
        if stated.get(key):
            raise ExportError(
                f"{directory / _CONFIG} has {key}={stated[key]!r}, which is not supported."
            )
    return stated


def _rebuild(document: Json, rules: TokenizerClass, stated: Json) -> None:
    """Build anew what the class does not take from the file."""
    document["normalizer"] = rules.normalizer(document, stated)
    document["pre_tokenizer"] = rules.pre_tokenizer(document, stated)
    names = dict(rules.tokens) | {
        key: content_of(stated[key]) for key in rules.tokens if stated.get(key)
    }
    settings = dict(rules.settings)
    if rules.states_unknown:
        settings["unk_token"] = names["unk_token"]
    model = document["model"]
    if any((model.get(key) or None) != (value or None) for key, value in settings.items()):
        document["model"] = model | settings
    first, last = (names[role] for role in rules.frame)
    tokenizer = parsed(document)
    ids = {token: tokenizer.token_to_id(token) for token in (first, last)}
    lacking = [token for token, index in ids.items() if index is None]
    if lacking:
        raise ExportError(f"tokenizer.json lacks the token {lacking[0]!r}.")
    known = {token: int(index or 0) for token, index in ids.items()}
    if tokenizer.encode("").ids != [known[first], known[last]]:
        document["post_processor"] = _frame(first, last, known)


def _frame(first: str, last: str, ids: Mapping[str, int]) -> Json:
    """A template with a token before a text and one after it."""
    special = [{"SpecialToken": {"id": token, "type_id": 0}} for token in (first, last)]
    texts = [{"Sequence": {"id": name, "type_id": 0}} for name in ("A", "B")]
    tokens = {token: {"id": token, "ids": [ids[token]], "tokens": [token]} for token in ids}
    return {
        "type": "TemplateProcessing",
        "single": [special[0], texts[0], special[1]],
        "pair": [special[0], texts[0], special[1], texts[1], special[1]],
        "special_tokens": tokens,
    }


def _lowercased(normalizer: Json | None) -> Json:
    """With lower case before all else; BERT's own normalizer then has the same effect."""
    if normalizer is not None and normalizer["type"] == "BertNormalizer":
        if normalizer["lowercase"]:
            return normalizer
        return normalizer | {
            "lowercase": True,
            "strip_accents": bool(normalizer.get("strip_accents")),
        }
    steps = list(steps_of(normalizer, "normalizers"))
    if normalizer is not None and any(step["type"] == "Lowercase" for step in steps):
        return normalizer
    return {"type": "Sequence", "normalizers": [{"type": "Lowercase"}, *steps]}
