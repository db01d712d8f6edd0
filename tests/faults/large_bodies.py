"""Bodies of any size that are as much work to read, check or answer as their bytes allow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

EMBED, TOKENIZE, LEVEL = "/v1/embeddings", "/v1/tokenize", "/admin/log-level"
MODEL = b'{"model":"all-MiniLM-L6-v2",'
INPUT = MODEL + b'"input":'
CUT = MODEL + b'"truncate":"end","input":'
CUT_START = MODEL + b'"truncate":"start","input":'
EMOJI, CHINESE, LETTER = "\U0001f600".encode(), "\u4e2d\u6587".encode(), "\u00e9".encode()
Make: TypeAlias = Callable[[int], bytes]
"""Makes a body of about so many bytes."""


@dataclass(frozen=True, slots=True)
class LargeBody:
    """A body, where it is sent, and the status that it must get."""

    name: str
    status: int
    make: Make
    routes: tuple[str, ...] = (EMBED, TOKENIZE)


def _of(before: bytes, unit: bytes, after: bytes) -> Make:
    return lambda size: before + unit * (size // len(unit)) + after


def _counted(before: bytes, unit: str, after: bytes) -> Make:
    """Units that differ, by their number."""
    length = len(unit.format(0)) + 1

    def make(size: int) -> bytes:
        units = [unit.format(number) for number in range(size // length)]
        return before + ",".join(units).encode() + after

    return make


def _million_ids(before: bytes) -> Make:
    return lambda size: before + b"[101," + b"2003," * min(1_000_000, size // 5) + b"102]}"


def _texts(before: bytes, count: int) -> Make:
    def make(size: int) -> bytes:
        words = "word " * max(size // count // 5, 180)  # too many tokens in any case
        return before + ",".join(f'"{number} {words}"' for number in range(count)).encode() + b"]}"

    return make


def _lists(before: bytes, count: int, ids: int) -> Make:
    """Always the same size: with the special tokens, all that a request may have."""
    one = f"[101,{'2003,' * (ids - 2)}102]".encode()
    return lambda _: before + b",".join([one] * count) + b"]}"


def _field(name: bytes, before: bytes, unit: bytes, after: bytes = b"}") -> Make:
    return _of(INPUT + b'"a","' + name + b'":' + before, unit, after)


BODIES = (
    LargeBody("unknown fields", 400, _counted(b"{", '"k{:07d}":1', b"}")),
    LargeBody("unknown fields of null", 400, _counted(b"{", '"k{:07d}":null', b"}")),
    LargeBody("one field again and again", 400, _of(b"{", b'"model":"m",', b'"x":1}')),
    LargeBody("an object in an unknown field", 400, _of(b'{"x":{', b'"a":1,', b'"a":1}}')),
    LargeBody("a name of a field", 400, _of(b'{"', b"k", b'":1}')),
    LargeBody("lists of one id", 400, _of(INPUT + b"[", b"[1],", b"[1]]}")),
    LargeBody("lists of a text", 400, _of(INPUT + b"[", b'["a"],', b"[1]]}")),
    LargeBody("empty texts", 400, _of(INPUT + b"[", b'"",', b'""]}')),
    LargeBody("objects", 400, _of(INPUT + b"[", b"{},", b"{}]}")),
    LargeBody("ids of one digit", 400, _of(INPUT + b"[", b"1,", b"1]}")),
    LargeBody("ids of one digit, to be cut", 400, _of(CUT + b"[", b"1,", b"1]}")),
    LargeBody("a million ids", 400, _million_ids(INPUT)),
    LargeBody("a million ids, to be cut", 200, _million_ids(CUT)),
    LargeBody("fractions", 400, _of(INPUT + b"[", b"0.12345678901234567,", b"1]}")),
    LargeBody("a million ids, then a fraction", 400, _of(INPUT + b"[", b"1234567890,", b"0.1]}")),
    LargeBody("infinities", 400, _of(INPUT + b"[", b"1e999,", b"1]}")),
    LargeBody("integers of 10,000 digits", 400, _of(INPUT + b"[", b"9" * 10_000 + b",", b"1]}")),
    LargeBody("one number", 400, _of(INPUT, b"9", b"}")),
    LargeBody("true", 400, _of(INPUT + b"[", b"true,", b"1]}")),
    LargeBody("brackets", 400, _of(b"", b"[", b"")),
    LargeBody("brackets in input", 400, _of(INPUT, b"[", b"")),
    LargeBody("objects in objects", 400, _of(b"", b'{"input":', b"")),
    LargeBody("spaces", 400, _of(b"", b" ", b"")),
    LargeBody("spaces around", 200, _of(INPUT, b" ", b'"a"}')),
    LargeBody("a text", 400, _of(INPUT + b'"', b"word ", b'"}')),
    LargeBody("a text, to be cut", 200, _of(CUT + b'"', b"word ", b'"}')),
    LargeBody("a text, to be cut at its start", 200, _of(CUT_START + b'"', b"word ", b'"}')),
    LargeBody("a text of spaces", 400, _of(INPUT + b'"', b" ", b'"}')),
    LargeBody("a text without spaces", 400, _of(INPUT + b'"', b"a", b'"}')),
    LargeBody("a text in Chinese", 400, _of(INPUT + b'"', CHINESE, b'"}')),
    LargeBody("a text with one emoji", 200, _of(CUT + b'"', b"word ", EMOJI + b'"}')),
    LargeBody("escapes", 400, _of(INPUT + b'"', b"\\u00e9 ", b'"}')),
    LargeBody("escaped pairs", 400, _of(INPUT + b'"', b"\\ud83d\\ude00 ", b'"}')),
    LargeBody("escaped quotes", 400, _of(INPUT + b'"', b'\\"', b'"}')),
    LargeBody("a lone surrogate at the end", 400, _of(INPUT + b'"', b"a", b'\\ud800"}')),
    LargeBody("2,048 texts", 400, _texts(INPUT + b"[", 2048)),
    LargeBody("2,048 texts, to be cut", 400, _texts(CUT + b"[", 2048)),
    LargeBody("1,100 texts, to be cut", 200, _texts(CUT + b"[", 1100)),
    LargeBody("300,000 ids in 2,048 lists", 200, _lists(INPUT + b"[", 2048, 146)),
    LargeBody("300,000 ids in 1,171 lists", 200, _lists(INPUT + b"[", 1171, 256)),
    LargeBody("a user", 400, _field(b"user", b'"', b"u", b'"}'), (EMBED,)),
    LargeBody("a name of a prompt", 400, _field(b"prompt_name", b'"', LETTER, b'"}')),
    LargeBody("a name of a model", 404, _of(b'{"input":"a","model":"', CHINESE, b'"}')),
    LargeBody("dimensions", 400, _field(b"dimensions", b"", b"9"), (EMBED,)),
    LargeBody("truncate", 400, _field(b"truncate", b'"', LETTER, b'"}')),
    LargeBody("a level", 400, _of(b'{"level":"', LETTER, b'"}'), (LEVEL,)),
    LargeBody("levels", 400, _of(b"{", b'"level":"info",', b'"x":1}'), (LEVEL,)),
    LargeBody("a list in place of a level", 400, _of(b'{"level":[', b"[1],", b"1]}"), (LEVEL,)),
)
