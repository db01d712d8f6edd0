"""Reads configurations, checkpoints and GGUF files so that nothing in them is ignored."""

from __future__ import annotations

import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any

import gguf
import numpy as np

from engine.errors import ExportError
from engine.export.architectures.base import CheckpointTensor
from engine.export.gguf_file import GgufFile

_BLOCK_PREFIX = re.compile(r"blk\.(\d+)\.")
_UNUSED = ("pooler.", "cls.", "lm_head.", "embeddings.position_ids")
"""Heads for other tasks, which no embedding passes through, and a constant."""
_SHOWN = 80
_MOST = (1 << 31) - 1
_LARGEST = float(np.finfo(np.float32).max)
_TABLES = frozenset({"token_embd", "position_embd", "token_types"})
_OUTSIDE_OF_BLOCKS = _TABLES | {"token_embd_norm"}


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
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _MOST:
        raise ExportError(
            f"config.json has {key}={repr(value)[:_SHOWN]}; a whole number up to {_MOST} is needed."
        )
    return value


def blocks(config: Mapping[str, Any], key: str, names: AbstractSet[str]) -> range:
    """The blocks that a configuration states, of a checkpoint whose tensors have these names.

    Raises:
        ExportError: there are more of them than tensors, or no number is stated.
    """
    stated = number(config, key)
    if stated > len(names):
        raise ExportError(f"config.json has {key}={stated}, but there are {len(names)} tensors.")
    return range(stated)


def real(config: Mapping[str, Any], key: str) -> float:
    """A number that a configuration must state.

    Raises:
        ExportError: it does not.
    """
    value = config.get(key)
    if not isinstance(value, int | float) or isinstance(value, bool) or not abs(value) <= _LARGEST:
        raise ExportError(f"config.json has {key}={repr(value)[:_SHOWN]}; a number is needed.")
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


def check_file(source: GgufFile, parts: AbstractSet[str], *, up_halves: int = 1) -> None:
    """Refuse a GGUF file whose numbers contradict each other, or whose tensors would be ignored.

    Args:
        source: the file.
        parts: tensors that are read, without block number and without `.weight` or `.bias`.
        up_halves: how many times as many rows as the feed-forward is long `ffn_up` has where
            there is no `ffn_gate` beside it.

    Raises:
        ExportError: says what is contradicting or not known.
    """
    blocks = source.number("block_count")
    heads = source.number("attention.head_count")
    width = source.number("embedding_length")
    found = source.shape_of("token_embd.weight")[-1]
    if found != width or width % heads:
        raise ExportError(
            f"{source.path} states {width} dimensions and {heads} heads, but its tokens have "
            f"{found} dimensions; these must be equal and a multiple of the heads."
        )
    for name in sorted(source.names):
        match = _BLOCK_PREFIX.match(name)
        part, _, kind = name[match.end() if match else 0 :].rpartition(".")
        if (
            part not in parts
            or kind not in (("weight",) if part in _TABLES else ("weight", "bias"))
            or (match is not None) == (part in _OUTSIDE_OF_BLOCKS)
            or (match and int(match[1]) >= blocks)
        ):
            raise ExportError(
                f"{source.path}: the tensor {name!r} has no place in {source.architecture} "
                f"with {blocks} blocks."
            )
        gate = f"{match[0]}ffn_gate.weight" if match else ""
        halves = up_halves if part == "ffn_up" and gate not in source.names else 1
        check_shape(source, name, part, kind, up_halves=halves)
    refuse_other(source, {"attention.causal": False, "attention.head_count_kv": heads})


def check_shape(source: GgufFile, name: str, part: str, kind: str, *, up_halves: int) -> None:
    """Refuse a tensor whose shape contradicts the file's numbers.

    Raises:
        ExportError: names both shapes.
    """
    width = source.number("embedding_length")
    inner = source.number("feed_forward_length") if part.startswith("ffn_") else 0
    rows, columns = {
        "attn_qkv": (3 * width, width),
        "ffn_up": (inner * up_halves, width),
        "ffn_gate": (inner, width),
        "ffn_down": (width, inner),
    }.get(part, (width, width))
    found = source.shape_of(name)
    if part in _TABLES:
        expected: tuple[int, ...] = (found[0], width)
    elif kind == "bias" or part.endswith("_norm"):
        expected = (rows,)
    else:
        expected = (rows, columns)
    if found != expected:
        raise ExportError(
            f"{source.path}: the tensor {name!r} has the shape {found}, but the file's numbers "
            f"ask for {expected}{', as there is no gate beside it' if up_halves > 1 else ''}."
        )


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
            raise ExportError(
                f"{source.path} has {key}={repr(found)[:_SHOWN]}; only {value!r} works."
            )
