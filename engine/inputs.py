"""The inputs of one request as a list, and what each of them is called in errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from engine.errors import EmptyInputError, InvalidInputError, MalformedTextError

NOT_IDS = (str, bytes, bytearray, memoryview)
"""Sequences that are neither several texts nor token ids."""
ITEMS = (str, Sequence, np.ndarray)
"""What a list of several inputs has; one of ids has numbers."""
ANY_ITEM = "a text, a token id or a list of token ids"
_ENCODED_AT_ONCE = 2**18
_KINDS: dict[type, str] = {
    bool: "true or false",
    int: "a number",
    np.integer: "a number",
    float: "a number with a fraction or too large",
    str: "a text",
    Mapping: "an object",
    Sequence: "a list",
    np.ndarray: "a list",
}


def as_list(inputs: object) -> tuple[Sequence[object], bool]:
    """The inputs as a list, and whether it was a single one.

    Raises:
        InvalidInputError: neither a text nor a list of anything.
        EmptyInputError: an empty list.
    """
    if isinstance(inputs, str):
        return [inputs], True
    if (
        not isinstance(inputs, (Sequence, np.ndarray))
        or isinstance(inputs, NOT_IDS)
        or (isinstance(inputs, np.ndarray) and inputs.ndim == 0)
    ):
        raise mixed_input("input", inputs, "text, texts or token ids")
    if len(inputs) == 0:
        raise EmptyInputError("input is an empty list.", param="input")
    first = inputs[0]
    if isinstance(first, ITEMS):
        return list(inputs), False
    if not is_integer(type(first)) and not isinstance(inputs, np.ndarray):
        raise mixed_input("input[0]", first, ANY_ITEM)
    return [inputs], True


def checked_texts(items: Sequence[object], single: bool) -> list[str]:
    """The items, if all of them are texts.

    Raises:
        InvalidInputError: one is something else, is empty, or has a lone surrogate.
    """
    texts: list[str] = []
    for index, item in enumerate(items):
        if not isinstance(item, str):
            raise mixed_input(param_of(index, single), item, "a text as those before it")
        if not item:
            param = param_of(index, single)
            raise EmptyInputError(f"{param} is an empty string.", param=param)
        if not _is_valid_unicode(item):
            param = param_of(index, single)
            raise MalformedTextError(
                f"{param} has a lone surrogate, which is not valid Unicode.", param=param
            )
        texts.append(item)
    return texts


def size_of(item: object) -> int:
    """Characters of a text, or ids of a list of them; 1 of what is neither."""
    if isinstance(item, np.ndarray):
        return item.size
    return len(item) if isinstance(item, Sequence) else 1


def param_of(index: int, single: bool) -> str:
    """The name of an input as clients write it."""
    return "input" if single else f"input[{index}]"


def mixed_input(param: str, item: object, wanted: str) -> InvalidInputError:
    """The error at what is not of any of the four forms."""
    return InvalidInputError(
        f"{param} is {_kind_of(item)}, not {wanted}. Send a string, a list of strings, a list of "
        "token ids or a list of lists of token ids.",
        param=param,
    )


def is_integer(kind: type) -> bool:
    """Whether values of this type are token ids."""
    return issubclass(kind, (int, np.integer)) and kind is not bool


def _kind_of(item: object) -> str:
    """What it is in JSON."""
    if item is None:
        return "null"
    return next((word for kind, word in _KINDS.items() if isinstance(item, kind)), "something else")


def _is_valid_unicode(text: str) -> bool:
    """Looks at a part after the other, as no other thread runs while one is encoded."""
    if text.isascii():
        return True
    try:
        for start in range(0, len(text), _ENCODED_AT_ONCE):
            text[start : start + _ENCODED_AT_ONCE].encode()
    except UnicodeEncodeError:
        return False
    return True
