"""Write the character map that SentencePiece keeps for its normaliser, for a few characters.

Layout: the byte length of a trie (uint32), the trie, then the replacements, each ended by a zero
byte. The trie is a double array of uint32 units in the layout of the darts-clone library, which
SentencePiece uses: the child of a node with base b for byte c lies at b XOR c and carries the label
c; the value of a key lies at the base of the node where the key ends.
"""

from __future__ import annotations

import struct
import unicodedata
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import count, pairwise

HAS_VALUE = 1 << 8
IS_VALUE = 1 << 31
OFFSET_SHIFT = 10
ZERO_WIDTH_AS_SPACE = frozenset("\u200b\u200e\u200f\ufeff\ufffd")


@dataclass(slots=True)
class _Node:
    """A node of the plain trie: its children by byte and, where a key ends, the key's value."""

    children: dict[int, _Node] = field(default_factory=dict)
    value: int | None = None


def compatibility_rules(texts: Iterable[str]) -> dict[str, str]:
    """Return what XLM-R's normaliser, NFKC and clean white space, makes of the texts' characters.

    Keys are single characters and pairs of a letter and a combining mark; others stay as they are.
    """
    joined = "\n".join(texts)
    pairs = (a + b for a, b in pairwise(joined) if unicodedata.combining(b))
    replaced = {key: _replacement(key) for key in (*joined, *pairs)}
    return {key: value for key, value in sorted(replaced.items()) if key != value}


def _replacement(key: str) -> str:
    if key in ZERO_WIDTH_AS_SPACE or key.isspace():
        return " "
    if unicodedata.category(key[0]) == "Cc":
        return ""
    return unicodedata.normalize("NFKC", key)


def build_charsmap(rules: Mapping[str, str]) -> bytes:
    """Encode replacement rules, UTF-8 key to UTF-8 value, as a precompiled character map."""
    root, values = _Node(), bytearray()
    for key, replacement in rules.items():
        node = root
        for byte in key.encode("utf-8"):
            node = node.children.setdefault(byte, _Node())
        node.value = len(values)
        values += replacement.encode("utf-8") + b"\0"
    units = _double_array(root)
    trie = struct.pack(f"<{len(units)}I", *units)
    return struct.pack("<I", len(trie)) + trie + bytes(values)


def _double_array(root: _Node) -> list[int]:
    """Lay the trie out so that no two nodes share a place or a base.

    A shared base would make the children of one node those of the other as well.
    """
    units: dict[int, int] = {0: 0}
    bases: set[int] = set()
    waiting = deque([(0, root)])
    while waiting:
        place, node = waiting.popleft()
        slots = [*node.children, *([0] if node.value is not None else [])]
        base = next(
            b for b in count(1) if b not in bases and not any(b ^ slot in units for slot in slots)
        )
        bases.add(base)
        units[place] |= (place ^ base) << OFFSET_SHIFT
        if node.value is not None:
            units[place] |= HAS_VALUE
            units[base] = IS_VALUE | node.value
        for byte, child in node.children.items():
            units[base ^ byte] = byte
            waiting.append((base ^ byte, child))
    size = (max(units) | 0xFF) + 1  # a failed lookup may read anywhere in a block of 256
    return [units.get(place, 0) for place in range(size)]
