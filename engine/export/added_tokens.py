"""Tokens that are found in a text before it is split, as the files of a tokenizer list them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

import tokenizers

from engine.errors import ExportError
from engine.export.json_files import Json, read_optional_json
from engine.export.tokenizer_classes import TokenizerClass

LISTED = "added_tokens_decoder"
"""The key of tokenizer_config.json that lists all of them by id."""
MORE_TOKENS = ("additional_special_tokens", "extra_special_tokens")
_TOKEN_KEYS = ("single_word", "lstrip", "rstrip", "normalized", "special")


def added_tokens(
    document: Json,
    rules: TokenizerClass | None,
    stated: Json,
    directory: Path,
    config: Mapping[str, Any],
) -> list[Json]:
    """The rows of tokens that are found in a text before it is split.

    Raises:
        ExportError: the document is not a tokenizer.
    """
    own = {row["content"]: row for row in document["added_tokens"]}
    rows = _listed_tokens(document, stated, directory)
    listed = {row["content"]: row for row in rows}
    special: Json = {} if rules is None else dict(rules.tokens)
    special |= {
        key: value
        for key, value in stated.items()
        if key.endswith("_token") and isinstance(value, str | dict)
    }
    more = [token for key in MORE_TOKENS for token in _values(stated.get(key))]
    for value in (*special.values(), *more):
        row = value if isinstance(value, dict) else {"content": value}
        listed[content_of(value)] = {**listed.get(content_of(value), row), "special": True}
    base = document if rules is None else document | {"added_tokens": []}
    tokenizer = parsed(base)
    tokenizer.add_tokens([_token(row) for row in listed.values()])
    found = [_row(index, token) for index, token in tokenizer.get_added_tokens_decoder().items()]
    size = int(config.get("vocab_size") or len(found))
    kept = [row for row in found if row["id"] < size or row["content"] in own]
    kept.sort(key=lambda row: int(row["id"]))
    same = [row | own.get(row["content"], {}) for row in kept] == kept and len(own) == len(kept)
    return list(document["added_tokens"]) if same else kept


def _listed_tokens(document: Json, stated: Json, directory: Path) -> list[Json]:
    """Rows by id that tokenizer_config.json lists, else added_tokens.json and tokenizer.json."""
    listed = stated.get(LISTED)
    if listed is not None:
        rows = {int(index): dict(row) for index, row in listed.items()}
    else:
        named = {content_of(value) for key, value in stated.items() if key.endswith("_token")}
        added = read_optional_json(directory / "added_tokens.json")
        rows = {int(index): _added_row(token, named) for token, index in added.items()}
        rows |= {int(row["id"]): dict(row) for row in document["added_tokens"]}
    return [rows[index] for index in sorted(rows)]


def _added_row(token: str, named: AbstractSet[str]) -> Json:
    return {"content": token, "special": token in named, "normalized": token not in named}


def _values(value: Any) -> list[Any]:  # noqa: ANN401 - the file decides
    return list(value.values()) if isinstance(value, dict) else list(value or [])


def content_of(value: Any) -> str:  # noqa: ANN401 - the file decides
    """The text of a token, which is stated alone or with its properties."""
    return str(value["content"]) if isinstance(value, dict) else str(value)


def _token(row: Json) -> tokenizers.AddedToken:
    stated = {key: bool(row[key]) for key in _TOKEN_KEYS if key in row}
    return tokenizers.AddedToken(str(row["content"]), **stated)


def _row(index: int, token: tokenizers.AddedToken) -> Json:
    row: Json = {"id": index, "content": token.content}
    return row | {key: bool(getattr(token, key)) for key in _TOKEN_KEYS}


def parsed(document: Json) -> tokenizers.Tokenizer:
    """The library's tokenizer of a document.

    Raises:
        ExportError: it is not one.
    """
    try:
        return tokenizers.Tokenizer.from_str(json.dumps(document))
    except Exception as exc:  # the library raises plain Exception
        raise ExportError(f"tokenizer.json is not a tokenizer: {exc}.") from exc
