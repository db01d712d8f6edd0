"""Whether what was written is what a document shows.

In a document `...` stands for anything: within a line or a string, for any lines, for any items
of a list, for any other keys of an object. Numbers with a point may differ a little, as another
processor rounds otherwise.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

TOLERANCE = 2e-4
"""Of a number that is shown. Neighbouring texts differ by far more."""
ANYTHING = "..."
_CHANGING = frozenset({"created", "seconds", "uptime_seconds"})
"""Keys whose numbers are others each time."""
_NUMBER = re.compile(r"-?\d+\.\d*(?:e[+-]?\d+)?")
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|\.\.\.|[{}\[\]]')


def difference(shown: str, written: str, language: str) -> str | None:
    """The first difference, or None."""
    if language == "json":
        try:
            value = json.loads(written)
        except ValueError:
            return f"no JSON was written: {written!r}"
        return _value_difference(json.loads(_as_json(shown)), value, "$")
    lines = [line.rstrip() for line in written.strip().splitlines()]
    return _lines_difference(shown.strip().splitlines(), lines)


def _as_json(shown: str) -> str:
    """Put a string where there is an ellipsis, or a key where a key must be."""
    within: list[str] = []

    def replace(match: re.Match[str]) -> str:
        token = match[0]
        if token in "{[":
            within.append(token)
        elif token in "}]":
            within.pop()
        elif token == ANYTHING:
            is_value = match.string[: match.start()].rstrip().endswith(":")
            is_key = within[-1:] == ["{"] and not is_value
            return f'"{ANYTHING}": null' if is_key else f'"{ANYTHING}"'
        return token

    return _TOKEN.sub(replace, shown)


def _value_difference(shown: object, found: object, place: str) -> str | None:
    if shown == ANYTHING:
        return None
    if isinstance(shown, dict) and isinstance(found, dict):
        return _object_difference(shown, found, place)
    if isinstance(shown, list) and isinstance(found, list):
        return _list_difference(shown, found, place)
    if isinstance(shown, float) and isinstance(found, (int, float)):
        is_same = abs(shown - found) <= TOLERANCE
    elif isinstance(shown, str) and isinstance(found, str):
        is_same = _line_is(shown, found)
    else:
        is_same = type(shown) is type(found) and shown == found
    return None if is_same else f"{place} is {found!r}, not {shown!r}"


def _object_difference(
    shown: dict[str, object], found: dict[str, object], place: str
) -> str | None:
    keys = list(shown.keys() - {ANYTHING})
    missing = set(keys) - found.keys()
    more = found.keys() - shown.keys() if ANYTHING not in shown else set()
    if missing or more:
        return f"{place} has other keys: lacks {sorted(missing)}, has {sorted(more)} too"
    for key in keys:
        if key in _CHANGING and type(shown[key]) is type(found[key]):
            continue
        differs = _value_difference(shown[key], found[key], f"{place}.{key}")
        if differs is not None:
            return differs
    return None


def _list_difference(shown: list[object], found: list[object], place: str) -> str | None:
    if ANYTHING in shown:
        at = shown.index(ANYTHING)
        last = shown[at + 1 :]
        if len(found) < len(shown) - 1:
            return f"{place} has only {len(found)} items"
        found = found[:at] + found[len(found) - len(last) :]
        shown = shown[:at] + last
    if len(shown) != len(found):
        return f"{place} has {len(found)} items, not {len(shown)}"
    for index, (one, other) in enumerate(zip(shown, found, strict=True)):
        differs = _value_difference(one, other, f"{place}[{index}]")
        if differs is not None:
            return differs
    return None


def _lines_difference(shown: Sequence[str], found: Sequence[str]) -> str | None:
    if not shown:
        return f"{found[0]!r} is not shown" if found else None
    if shown[0] == ANYTHING:
        rests = range(len(found) + 1)
        if any(_lines_difference(shown[1:], found[rest:]) is None for rest in rests):
            return None
        return f"nothing fits after an ellipsis: {list(shown[1:])}"
    if not found:
        return f"{shown[0]!r} was not written"
    if not _line_is(shown[0], found[0]):
        return f"{found[0]!r} was written, not {shown[0]!r}"
    return _lines_difference(shown[1:], found[1:])


def _line_is(shown: str, found: str) -> bool:
    """Whether all but numbers is the same, and these are close."""
    pattern = ""
    for part in re.split(rf"({re.escape(ANYTHING)}|{_NUMBER.pattern})", shown.rstrip()):
        if part == ANYTHING:
            pattern += ".*"
        elif _NUMBER.fullmatch(part):
            pattern += f"({_NUMBER.pattern})"
        else:
            pattern += re.escape(part)
    match = re.fullmatch(pattern, found, re.DOTALL)
    if match is None:
        return False
    numbers = _NUMBER.findall(shown.rstrip().replace(ANYTHING, " "))
    pairs = zip(numbers, match.groups(), strict=True)
    return all(abs(float(one) - float(other)) <= TOLERANCE for one, other in pairs)
