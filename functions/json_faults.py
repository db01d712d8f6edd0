"""Says what is wrong with JSON that can't be parsed, and where: the field, the item, the byte."""

from __future__ import annotations

import re
from typing import TypeAlias

import orjson

from engine.errors import InvalidInputError, MalformedTextError

Body: TypeAlias = bytes | bytearray
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_LONE_SURROGATE = re.compile(r"(no|invalid) (low|high) surrogate")


class MalformedJsonError(InvalidInputError):
    """The body is not JSON; `offset` is the byte at which it stops being so."""

    def __init__(self, reason: str, *, offset: int, param: str | None = None) -> None:
        where = "" if param is None else f"{param}: "
        super().__init__(
            f"The body is not valid JSON: {where}{reason} at byte {offset}.", param=param
        )
        self.offset = offset


def start_of_json(body: Body) -> int:
    """Where the JSON starts: after the byte order mark, if there is one.

    Raises:
        MalformedJsonError: it is text of another encoding than UTF-8.
    """
    if body.startswith(_BYTE_ORDER_MARK):
        return len(_BYTE_ORDER_MARK)
    if body[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in body[:4]:
        raise MalformedJsonError("UTF-16 or UTF-32 in place of UTF-8", offset=0)
    return 0


def parse_part(raw: Body, *, offset: int, param: str | None) -> object:
    """Parse one value, which begins at this byte of the body. `param` is None for a field's name.

    Raises:
        InvalidInputError: it is malformed; names `param` and the byte.
    """
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as exc:
        raise _fault_of(raw, exc, offset, param) from exc


def _fault_of(
    raw: Body, exc: orjson.JSONDecodeError, offset: int, param: str | None
) -> InvalidInputError:
    what = "The name of a field" if param is None else param
    try:
        text = raw.decode()
    except UnicodeDecodeError as wrong:
        place = offset + wrong.start
        message = f"{what} is not valid UTF-8 at byte {place}, but JSON is sent in UTF-8."
        return MalformedTextError(message, param=param)
    place = offset + len(text[: exc.pos].encode())
    if _LONE_SURROGATE.match(exc.msg):
        message = f"{what} has a lone surrogate at byte {place}, which is not valid Unicode."
        return MalformedTextError(message, param=param)
    return MalformedJsonError(exc.msg, offset=place, param=param)
