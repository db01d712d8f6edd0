"""Damage, made by a seeded generator: to bytes, to JSON, and to the fields of GGUF files."""

from __future__ import annotations

import copy
import json
import random
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

_SCALAR_BYTES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_STRING, _ARRAY = 8, 9
_ODD_NUMBERS = (0, 1, 2, 3, 31, 255, 1 << 15, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 40)
_ODD_LONG_NUMBERS = (*_ODD_NUMBERS, (1 << 63) - 1, 1 << 63, (1 << 64) - 1)
_ODD_FLOATS = (0.0, -1.0, float("nan"), float("inf"), 1e38, -1e38, 1e-45)
_ODD_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 3, 7, 1 << 16, 1 << 31, 10**9, 1 << 40, 1 << 63, 10**30),
    *(0.5, -1.5, 1e308, -1e308, "", "x", "0", "\x00", "\u00e9\u0301", "\ud7ff\uffff", "x" * 5000),
    *([], [None], [0], ["x"], [[]], [-1, 10**9], {}, {"x": None}, {"type": "x"}, [{}]),
)


def damage_bytes(random_: random.Random, data: bytes) -> bytes:
    """Flip, cut, repeat, remove or overwrite some of it; more often near its start."""
    changed = bytearray(data)
    for _ in range(random_.choice((1, 1, 2, 8))):
        span = random_.choice((64, 1024, max(1, len(changed))))
        at = random_.randrange(max(1, min(span, len(changed))))
        kind = random_.randrange(6)
        if kind == 0:
            del changed[at:]
        elif kind == 1:
            del changed[at : at + random_.choice((1, 4, 100))]
        elif kind == 2:
            changed[at:at] = changed[at : at + random_.choice((1, 8, 100))]
        elif kind == 3:
            changed[at : at + 4] = random_.choice((b"\xff" * 4, b"\0" * 4, b"\x80\xec\xff\x7f"))
        elif changed:
            changed[min(at, len(changed) - 1)] ^= 1 << random_.randrange(8)
    return bytes(changed)


def damage_json(random_: random.Random, data: bytes) -> bytes:
    """Put odd values in the place of others, take some out, or damage the text itself."""
    kind = random_.randrange(10)
    if kind == 0:
        return damage_bytes(random_, data)
    if kind == 1:
        odd = (b"", b"null", b"[]", b"{}", b"0", b'"x"', b"[" * 100_000, b"\xef\xbb\xbf" + data)
        return random_.choice((*odd, data * 2, b'{"a":' * 100_000))
    document = json.loads(data)
    for _ in range(random_.choice((1, 1, 1, 3))):
        document = _with_odd_value(random_, document)
    return json.dumps(document).encode("utf-8", "surrogatepass")


def _with_odd_value(random_: random.Random, document: Any) -> Any:  # noqa: ANN401 - JSON
    """One value replaced, removed or moved; parts near the root as often as large lists."""
    document = copy.deepcopy(document)
    holder: Any = None
    key: Any = None
    here = document
    while isinstance(here, dict | list) and here:
        if holder is not None and random_.random() < 0.25:
            break
        holder = here
        key = random_.choice(list(here)) if isinstance(here, dict) else random_.randrange(len(here))
        here = holder[key]
    if holder is None:
        return random_.choice(_ODD_VALUES)
    kind = random_.randrange(5)
    if kind == 0:
        del holder[key]
    elif kind == 1 and isinstance(holder, list):
        holder.append(copy.deepcopy(here))
    elif kind == 2 and isinstance(here, int | float) and not isinstance(here, bool):
        holder[key] = random_.choice((-here, here + 1, here * 10**9, here - 1, float(here), [here]))
    else:
        holder[key] = random_.choice(_ODD_VALUES)
    return document


@dataclass(frozen=True)
class Field:
    """A place in a GGUF header: `kind` is count, length, type, dimension, offset or value."""

    kind: str
    at: int
    bytes: int


def gguf_fields(data: bytes) -> list[Field]:
    """All places of a sound file's header that mean something."""
    fields: list[Field] = []
    at = 4

    def take(kind: str, size: int) -> int:
        nonlocal at
        fields.append(Field(kind, at, size))
        at += size
        return int.from_bytes(data[at - size : at], "little")

    def text() -> None:
        take("value", take("length", 8))

    def value(kind: int) -> None:
        if kind == _STRING:
            text()
        elif kind == _ARRAY:
            item, count = take("type", 4), take("count", 8)
            for _ in range(count):
                value(item)
        else:
            take("value", _SCALAR_BYTES[kind])

    take("value", 4)
    tensors, keys = take("count", 8), take("count", 8)
    for _ in range(keys):
        text()
        value(take("type", 4))
    for _ in range(tensors):
        text()
        for _ in range(take("count", 4)):
            take("dimension", 8)
        take("type", 4)
        take("offset", 8)
    return fields


def damage_gguf(random_: random.Random, data: bytes) -> bytes:
    """Change fields of the header or numbers of the weights, or damage the bytes."""
    kind = random_.randrange(12)
    if kind == 0:
        return damage_bytes(random_, data)
    if kind == 1:
        return data[: random_.randrange(len(data))]
    changed = bytearray(data)
    fields = gguf_fields(data)
    if kind == 2:
        start = fields[-1].at + 8
        for _ in range(random_.choice((1, 16))):
            at = random_.randrange(start, len(data) - 4) & ~3
            changed[at : at + 4] = struct.pack("<f", random_.choice(_ODD_FLOATS))
        return bytes(changed)
    for _ in range(random_.choice((1, 1, 1, 2, 4))):
        wanted = random_.choice(("count", "length", "type", "dimension", "offset", "value"))
        places = [field for field in fields if field.kind == wanted and field.bytes]
        if random_.random() < 0.5:  # the vocabulary has most of the fields
            places = [
                field for field in places if field.at < 1500 or field.at > fields[-1].at - 5000
            ]
        field = random_.choice(places or fields)
        new = _odd_bytes(random_, data[field.at : field.at + field.bytes])
        changed[field.at : field.at + field.bytes] = new
    return bytes(changed)


def _odd_bytes(random_: random.Random, old: bytes) -> bytes:
    size = len(old)
    number = int.from_bytes(old, "little")
    if size not in (1, 2, 4, 8):
        return bytes(random_.randrange(256) if random_.random() < 0.3 else byte for byte in old)
    kind = random_.randrange(4)
    if kind == 0 and size == 4:
        return struct.pack("<f", random_.choice(_ODD_FLOATS))
    if kind == 1:
        number ^= 1 << random_.randrange(8 * size)
    elif kind == 2:
        number += random_.choice((-1, 1, -8, 8))
    else:
        number = random_.choice(_ODD_LONG_NUMBERS)
    return (number % (1 << (8 * size))).to_bytes(size, "little")


def damage_safetensors(random_: random.Random, data: bytes) -> bytes:
    """Damage the JSON of the header, its length, or the bytes."""
    kind = random_.randrange(4)
    if kind == 0:
        return damage_bytes(random_, data)
    size = int.from_bytes(data[:8], "little")
    header, weights = data[8 : 8 + size], bytearray(data[8 + size :])
    if kind == 1:
        for _ in range(random_.choice((1, 16))):
            at = random_.randrange(len(weights) - 4) & ~3
            weights[at : at + 4] = struct.pack("<f", random_.choice(_ODD_FLOATS))
        return data[: 8 + size] + bytes(weights)
    header = damage_json(random_, header)
    length = len(header) if random_.random() < 0.9 else random_.choice(_ODD_LONG_NUMBERS)
    return struct.pack("<Q", length % (1 << 64)) + header + bytes(weights)


def damage_onnx(random_: random.Random, data: bytes) -> bytes:
    """Damage a graph's weights, attributes, names and places of external data, or the bytes."""
    import onnx

    if random_.randrange(3) == 0:
        return damage_bytes(random_, data)
    model = onnx.load_from_string(data)
    for _ in range(random_.choice((1, 1, 2))):
        random_.choice(_ONNX_DAMAGE)(random_, model.graph)
    return bytes(model.SerializeToString())


def _damage_weight(random_: random.Random, graph: Any) -> None:  # noqa: ANN401 - has no types
    weight = random_.choice(graph.initializer)
    kind = random_.randrange(4)
    if kind == 0 and weight.dims:
        weight.dims[random_.randrange(len(weight.dims))] = random_.choice((0, -1, 7, 1 << 40))
    elif kind == 1:
        weight.data_type = random_.choice((0, 2, 7, 10, 11, 16, 23, 99))
    elif kind == 2 and weight.external_data:
        random_.choice(weight.external_data).value = random_.choice(
            ("", "-1", "0", "1", "9" * 18, "x", "../x", "/etc/passwd", "model.onnx", "a\x00b")
        )
    else:
        weight.name = random_.choice(("", "x", random_.choice(graph.initializer).name))


def _damage_node(random_: random.Random, graph: Any) -> None:  # noqa: ANN401 - has no types
    node = random_.choice(graph.node)
    kind = random_.randrange(5)
    if kind == 0 and node.attribute:
        attribute = random_.choice(node.attribute)
        attribute.i = random_.choice((0, -1, 3, 7, 1 << 31, 1 << 40))
        attribute.f = random_.choice(_ODD_FLOATS)
    elif kind == 1:
        node.op_type = random_.choice(("", "Add", "MatMul", "Gather", "Nothing", "Loop"))
    elif kind == 2 and node.input:
        node.input[random_.randrange(len(node.input))] = random_.choice(
            ("", "x", "input_ids", random_.choice(graph.initializer).name)
        )
    elif kind == 3:
        graph.node.remove(node)
    else:
        node.domain = random_.choice(("", "com.microsoft", "x"))


def _damage_value(random_: random.Random, graph: Any) -> None:  # noqa: ANN401 - has no types
    value = random_.choice((*graph.input, *graph.output))
    if random_.randrange(2):
        value.type.tensor_type.elem_type = random_.choice((0, 1, 6, 7, 8, 99))
    else:
        value.name = random_.choice(("", "x", "input_ids"))


_ONNX_DAMAGE: tuple[Callable[[random.Random, Any], None], ...] = (
    _damage_weight,
    _damage_weight,
    _damage_node,
    _damage_value,
)
