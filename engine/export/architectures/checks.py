"""Reads configurations, checkpoints and GGUF files so that nothing in them is ignored."""

from __future__ import annotations

import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any

import gguf

from engine.errors import ExportError
from engine.export.architectures.base import CheckpointTensor
from engine.export.gguf_file import GgufFile

_BLOCK_PREFIX = re.compile(r"blk\.(\d+)\.")
_UNUSED = ("pooler.", "cls.", "lm_head.", "embeddings.position_ids")
"""Heads for other tasks, which no embedding passes through, and a constant."""


def require(config: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """Refuse a configuration that states another value than the only one that works.

    Raises:
        ExportError: names the first key that differs.
    """
    for key, value in expected.items():
        if config.get(key, value) != value:
            raise ExportError(f"config.json has {key}={config[key]!r}; only {value!r} works.")


def require_stated(config: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """Like `require`, for keys that mean another value where they are not stated."""
    for key, value in expected.items():
        if config.get(key) != value:
            raise ExportError(f"config.json has {key}={config.get(key)!r}; only {value!r} works.")


def number(config: Mapping[str, Any], key: str) -> int:
    """A whole number that a configuration must state.

    Raises:
        ExportError: it does not.
    """
    value = config.get(key)
    if not isinstance(value, int) or isinstance(value, bool):
        raise ExportError(f"config.json has {key}={value!r}; a whole number is needed.")
    return value


def real(config: Mapping[str, Any], key: str) -> float:
    """A number that a configuration must state.

    Raises:
        ExportError: it does not.
    """
    value = config.get(key)
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ExportError(f"config.json has {key}={value!r}; a number is needed.")
    return float(value)


def add_numbers(
    writer: gguf.GGUFWriter, config: Mapping[str, Any], keys: Mapping[str, str]
) -> None:
    """Write whole numbers: `keys` are the writer's names -> the configuration's.

    Raises:
        ExportError: the configuration lacks one.
    """
    for name, key in keys.items():
        getattr(writer, f"add_{name}")(number(config, key))


def add_encoder(writer: gguf.GGUFWriter, config: Mapping[str, Any], *, epsilon: str) -> None:
    """Write what all encoders of the BERT family state, and under which key of `config`.

    Raises:
        ExportError: the configuration lacks a number.
    """
    writer.add_layer_norm_eps(real(config, epsilon))
    writer.add_causal_attention(False)  # noqa: FBT003 - the writer's own signature
    add_numbers(writer, config, {"vocab_size": "vocab_size", "token_type_count": "type_vocab_size"})


def checkpoint_tensors(
    pairs: Mapping[str, str],
    names: AbstractSet[str],
    *,
    prefix: str,
    architecture: str,
    first_rows: Mapping[str, int] | None = None,
) -> dict[str, CheckpointTensor]:
    """Where all tensors of a GGUF file lie in a checkpoint.

    Args:
        pairs: GGUF tensor names -> checkpoint tensor names without prefix.
        names: what the checkpoint has.
        prefix: what its names may start with, where it has a head for another task.
        architecture: for messages.
        first_rows: GGUF tensor names -> rows to drop.

    Raises:
        ExportError: a tensor is missing, or one has no place and its effect would be lost.
    """
    if not any(name.startswith(prefix) for name in names):
        prefix = ""
    rows = first_rows or {}
    tensors = {
        target: CheckpointTensor(prefix + source, rows.get(target, 0))
        for target, source in pairs.items()
    }
    used = {tensor.name for tensor in tensors.values()}
    if used - names:
        raise ExportError(f"The checkpoint has no tensor {min(used - names)!r}.")
    for name in sorted(names - used):
        if not name.removeprefix(prefix).startswith(_UNUSED):
            raise ExportError(f"The checkpoint's tensor {name!r} has no place in {architecture}.")
    return tensors


def has_bias(part: str, names: AbstractSet[str], prefix: str) -> bool:
    """Whether a checkpoint has a bias for a part, with or without prefix."""
    return not names.isdisjoint({f"{part}.bias", f"{prefix}{part}.bias"})


def check_file(source: GgufFile, parts: AbstractSet[str]) -> None:
    """Refuse a GGUF file whose numbers contradict each other, or whose tensors would be ignored.

    Args:
        source: the file.
        parts: tensors that are read, without block number and without `.weight` or `.bias`.

    Raises:
        ExportError: says what is contradicting or not known.
    """
    blocks = int(source.hyperparameter("block_count"))
    for name in sorted(source.names):
        match = _BLOCK_PREFIX.match(name)
        part = name[match.end() if match else 0 :].removesuffix(".weight").removesuffix(".bias")
        if part not in parts or (match and int(match[1]) >= blocks):
            raise ExportError(
                f"{source.path}: the tensor {name!r} has no place in {source.architecture} "
                f"with {blocks} blocks."
            )
    heads = int(source.hyperparameter("attention.head_count"))
    width = int(source.hyperparameter("embedding_length"))
    found = source.tensor("token_embd.weight").shape[1]
    if found != width or width % heads:
        raise ExportError(
            f"{source.path} states {width} dimensions and {heads} heads, but its tokens have "
            f"{found} dimensions; these must be equal and a multiple of the heads."
        )
    refuse_other(source, {"attention.causal": False, "attention.head_count_kv": heads})


def refuse_other(source: GgufFile, expected: Mapping[str, Any]) -> None:
    """Refuse a GGUF file that states another value than the only one that works.

    Raises:
        ExportError: names the key.
    """
    for key, value in expected.items():
        try:
            found = source.hyperparameter(key)
        except ExportError:  # not stated
            continue
        if found != value:
            raise ExportError(f"{source.path} has {key}={found!r}; only {value!r} works.")
