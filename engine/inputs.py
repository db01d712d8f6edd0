"""The inputs of one request as a list, and what each of them is called in errors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engine.errors import EmptyInputError, InvalidInputError, MalformedTextError

NOT_IDS = (str, bytes, bytearray, memoryview)
"""Sequences that are neither several texts nor token ids."""
ITEMS = (str, Sequence, np.ndarray)
"""What a list of several inputs has; one of ids has numbers."""


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
        raise mixed_input("input", "text, texts or token ids")
    if len(inputs) == 0:
        raise EmptyInputError("input is an empty list.", param="input")
    if isinstance(inputs[0], ITEMS):
        return list(inputs), False
    return [inputs], True


def checked_texts(items: Sequence[object], single: bool) -> list[str]:
    """The items, if all of them are texts.

    Raises:
        InvalidInputError: one is something else, is empty, or has a lone surrogate.
    """
    texts: list[str] = []
    for index, item in enumerate(items):
        if not isinstance(item, str):
            raise mixed_input(param_of(index, single), "text")
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


def mixed_input(param: str, wanted: str) -> InvalidInputError:
    """The error at an input that is none of the four forms."""
    return InvalidInputError(
        f"{param} is not {wanted}. Send a string, a list of strings, a list of token ids "
        "or a list of lists of token ids.",
        param=param,
    )


def _is_valid_unicode(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
