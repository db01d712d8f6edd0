"""How many bytes an answer of AWS Lambda will have, before it is computed."""

from __future__ import annotations

from functions.platform_limits import WantedAnswer

ENVELOPE_BYTES = 16 * 1024
"""Room for status and headers, of which `x-embellama-truncated` is the longest, and for usage."""
_ITEM = '{"object":"embedding","index":2047,"embedding":},'
_ESCAPED_ITEM_BYTES = len(_ITEM) + _ITEM.count('"')
"""The answer travels as a JSON string, in which each quotation mark takes two bytes."""
_ESCAPED_QUOTES_BYTES = 4
FLOAT_BYTES = 13
"""Digits and comma of one float32. Measured on unit vectors: 11.5 bytes on average for 8
dimensions, 12.2 for 384, 12.7 for 4,096; and no vector of 8 to 4,096 had more than 12.75."""


def item_bytes(wanted: WantedAnswer) -> int:
    """Bytes of one vector in the answer; exact for base64, an upper bound for floats."""
    if wanted.encoding_format == "base64":
        vector = 4 * ((4 * wanted.dimensions + 2) // 3) + _ESCAPED_QUOTES_BYTES
    else:
        vector = FLOAT_BYTES * wanted.dimensions + 2
    return _ESCAPED_ITEM_BYTES + vector


def answer_bytes(wanted: WantedAnswer) -> int:
    """Bytes of the whole answer."""
    return ENVELOPE_BYTES + wanted.inputs * item_bytes(wanted)


def largest_batch(wanted: WantedAnswer, limit_bytes: int) -> int:
    """The most inputs whose answer fits."""
    return max(0, (limit_bytes - ENVELOPE_BYTES) // item_bytes(wanted))


def carried_bytes(body: str) -> int:
    """Bytes of a body as it travels: as a JSON string, in its envelope."""
    return ENVELOPE_BYTES + len(body.encode()) + body.count('"') + body.count("\\")
