from __future__ import annotations

import json
from collections.abc import Callable

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import InvalidInputError, TooManyInputsError
from functions.json_faults import Body
from functions.json_reader import (
    MAX_FIELDS,
    WINDOW_BYTES,
    JsonReader,
    JsonShape,
    NestedValueError,
    read_object,
)
from functions.slices import Slices, run

FIELDS = ("model", "input", "user")
LEAST_WINDOW = 16
_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
)
_VALUES = _SCALARS | st.lists(_SCALARS | st.lists(_SCALARS, max_size=5), max_size=20)
OBJECTS = st.fixed_dictionaries(
    {}, optional={"input": _VALUES, "model": _SCALARS, "user": _SCALARS, "other": st.none()}
)
LARGE = b" " * WINDOW_BYTES
"""Makes a body too large to be parsed at once."""


def _shape(max_items: int = 2048, max_numbers: int = 10_000) -> JsonShape:
    return JsonShape(
        fields=frozenset(FIELDS),
        lists=frozenset({"input"}),
        max_items=max_items,
        max_numbers=max_numbers,
        unknown=lambda name: InvalidInputError(f"unknown {name}", param=name),
    )


def _read(body: bytes, shape: JsonShape | None = None) -> dict[str, object]:
    return run(read_object(body, shape or _shape()))


def _read_sliced(body: Body, window_bytes: int) -> dict[str, object]:
    return run(JsonReader(body, _shape(), window_bytes=window_bytes).read())


def _slices(steps: Slices[object]) -> int:
    count = 0
    try:
        while True:
            next(steps)
            count += 1
    except (StopIteration, InvalidInputError):
        return count


@settings(max_examples=300, deadline=None)
@given(
    OBJECTS, st.integers(LEAST_WINDOW, 200), st.booleans(), st.sampled_from([None, 1, "\r\n\t "])
)
def test_slices_give_what_the_parser_gives_of_the_whole(
    wanted: dict[str, object], window_bytes: int, ascii_only: bool, indent: int | str | None
) -> None:
    """Escapes, surrogate pairs and long characters are never cut through, wherever slices end."""
    body = json.dumps(wanted, ensure_ascii=ascii_only, indent=indent).encode()
    expected = orjson.loads(body)
    expected.pop("other", None)
    assert _read_sliced(body, window_bytes) == expected
    assert _read_sliced(bytearray(body), window_bytes) == expected
    assert _read(body) == expected


@settings(max_examples=300, deadline=None)
@given(OBJECTS, st.integers(LEAST_WINDOW, 64), st.data())
def test_slices_refuse_what_the_parser_refuses(
    wanted: dict[str, object], window_bytes: int, data: st.DataObject
) -> None:
    """One byte is altered anywhere. What both take is the same."""
    body = bytearray(json.dumps(wanted, ensure_ascii=False).encode())
    place = data.draw(st.integers(0, len(body) - 1))
    body[place] = data.draw(st.sampled_from(list(b'\xc3\xed\xa9\x01\\"[]{},:u dD8 1e.-n')))
    altered = bytes(body)
    try:
        expected = orjson.loads(altered)
    except orjson.JSONDecodeError:
        expected = None
    try:
        found: dict[str, object] | None = _read_sliced(altered, window_bytes)
    except (InvalidInputError, NestedValueError):
        found = None
    if found is not None:
        assert found == {name: expected[name] for name in expected if name in FIELDS}
    elif isinstance(expected, dict):
        assert _has_what_no_request_has(expected)


def _has_what_no_request_has(value: dict[str, object]) -> bool:
    fields = {name: item for name, item in value.items() if item is not None}
    inputs = fields.pop("input", None)
    items = inputs if isinstance(inputs, list) else [inputs]
    return (
        not fields.keys() <= set(FIELDS)
        or any(isinstance(item, dict | list) for item in fields.values())
        or any(isinstance(item, dict) for item in [inputs, *items])
        or any(
            isinstance(inner, dict | list)
            for item in items
            if isinstance(item, list)
            for inner in item
        )
    )


@pytest.mark.parametrize("padding", [b"", LARGE], ids=["small", "large"])
@pytest.mark.parametrize("value", [b"1", b'"a"', b"[", b"{", b"false"])
def test_an_unknown_field_is_refused_where_it_stands(value: bytes, padding: bytes) -> None:
    """What comes after it is not looked at where the body is large."""
    rest = b', "y": 1}' if value not in b"[{" else b""
    with pytest.raises(InvalidInputError) as caught:
        _read(b'{"model": "m", "x": ' + value + rest + (LARGE if not rest else padding))
    assert caught.value.param == "x"


@pytest.mark.parametrize("padding", [b"", LARGE], ids=["small", "large"])
def test_an_unknown_field_of_null_is_left_out(padding: bytes) -> None:
    assert _read(b'{"x": null, "model": "m"}' + padding) == {"model": "m"}


@pytest.mark.parametrize("padding", [b"", LARGE], ids=["small", "large"])
def test_there_is_a_most_of_fields(padding: bytes) -> None:
    def body(count: int) -> bytes:
        return orjson.dumps({f"x{number}": None for number in range(count)}) + padding

    assert _read(body(MAX_FIELDS)) == {}
    with pytest.raises(InvalidInputError, match="more than 64 fields"):
        _read(body(MAX_FIELDS + 1))


@pytest.mark.parametrize("value", [b"{", b"["])
def test_a_value_that_a_known_field_never_has_is_not_read(value: bytes) -> None:
    with pytest.raises(NestedValueError) as caught:
        _read(b'{"user": ' + value + LARGE)
    assert caught.value.field == "user"
    assert orjson.dumps(caught.value.value)[:1] == value


@pytest.mark.parametrize("item", [b'"a"', b"[1]", b'["a"]', b"[]"])
def test_a_list_that_is_too_long_is_refused_before_its_end(item: bytes) -> None:
    items = b",".join([item] * 2048)
    assert len(_read(b'{"input": [' + items + b"]}" + LARGE)["input"]) == 2048  # type: ignore[arg-type]
    with pytest.raises(TooManyInputsError, match="input has at least"):
        _read(
            b'{"input": [' + items + b"," + item + b", and what comes then is not looked at" + LARGE
        )


@pytest.mark.parametrize(
    "value",
    [b"[" + b"7," * 10_000 + b"7]", b"[[" + b"7," * 5000 + b"7],[" + b"7," * 5000 + b"7]]"],
    ids=["one", "lists"],
)
def test_there_is_a_most_of_token_ids(value: bytes) -> None:
    with pytest.raises(InvalidInputError, match=r"more than 10000 token ids") as caught:
        _read(b'{"input": ' + value + b"}" + LARGE)
    assert (caught.value.param or "").startswith("input")
    whole = _read(b'{"input": ' + value + b"}" + LARGE, _shape(max_numbers=10_002))
    assert whole == orjson.loads(b'{"input": ' + value + b"}")


def test_texts_are_no_token_ids() -> None:
    body = b'{"input": [' + b'"a",' * 100 + b'"b"]}'
    assert _read(body + LARGE, _shape(max_numbers=1)) == orjson.loads(body)


@pytest.mark.parametrize(
    "body",
    [
        lambda size: b'{"input": "' + b"a" * size + b'"}',
        lambda size: b'{"input": "' + b"\\u00e9" * (size // 6) + b'"}',
        lambda size: b'{"input": "' + b'\\"' * (size // 2) + b'"}',
        lambda size: b'{"input": "' + "\u4e2d".encode() * (size // 3) + b'"}',
        lambda size: b'{"' + b"k" * size + b'": 1}',
        lambda size: b'{"input": [' + b'"%s",' % (b"a" * 995) * (size // 998) + b'"a"]}',
        lambda size: b'{"input": [' + b"1," * (size // 2) + b"1]}",
        lambda size: b'{"input": [[' + b"12345," * (size // 6) + b"1]]}",
        lambda size: b" " * size,
        lambda size: b'{"model":' + b"\n" * size + b'"m"}',
    ],
    ids=["text", "escapes", "quotes", "chinese", "key", "texts", "ids", "lists", "spaces", "gap"],
)
def test_no_slice_is_larger_than_the_window(body: Callable[[int], bytes]) -> None:
    """So the number of slices grows as the body does: others have so many turns in between."""
    shape = _shape(max_numbers=10**9)
    windows = 20
    assert _slices(read_object(body(windows * WINDOW_BYTES), shape)) >= windows - 1
    assert _slices(read_object(body(2 * windows * WINDOW_BYTES), shape)) >= 2 * windows - 1


@pytest.mark.parametrize("depth", [3, 4, 1000, 1_000_000])
def test_lists_are_read_two_deep(depth: int) -> None:
    with pytest.raises(InvalidInputError, match="is a list, not a token id") as caught:
        _read(b'{"input": ' + b"[" * depth + LARGE)
    assert caught.value.param == "input[0][0]"


@pytest.mark.parametrize("number", [b"9" * 40_000, b"1." + b"0" * 40_000, b"x" * 1_000_000])
def test_a_number_without_end_is_refused(number: bytes) -> None:
    with pytest.raises(InvalidInputError, match="more than 32768 characters") as caught:
        _read(b'{"input": [1, ' + number + b"]}")
    assert caught.value.param == "input[1]"


@pytest.mark.parametrize(
    ("body", "reason", "offset"),
    [
        (b"{", "it ends before the name of a field", 1),
        (b'{"input"', "it ends before a colon", 8),
        (b'{"input": ', "it ends before the value of input", 10),
        (b'{"input": "a', "it ends before the end of a text", 12),
        (b'{"input": ["a"', "it ends before a comma or the end of input", 14),
        (b'{"input": ["a" "b"]}', "expected a comma or the end of input", 15),
        (b'{"input": ["a", ]}', "expected the value of input[1]", 16),
        (b'{"input": "a",}', "expected the name of a field", 14),
        (b'{"input": "a"', "it ends before a comma or the end of the object", 13),
        (b'{"input": "a"} {}', "expected nothing after the object", 15),
        (b"{'input': 1}", "expected the name of a field", 1),
        (b"x", "expected an object", 0),
        (b"  ", "it ends before an object", 2),
    ],
)
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "mark"])
def test_malformed_json_is_refused_with_the_byte(
    body: bytes, reason: str, offset: int, mark: bytes
) -> None:
    with pytest.raises(InvalidInputError) as caught:
        _read(mark + body)
    place = offset + len(mark)
    assert caught.value.message == f"The body is not valid JSON: {reason} at byte {place}."


def test_faults_in_large_bodies_are_named_as_in_small_ones() -> None:
    items = [b'"a"'] * 2000
    items[1500] = b'"\\ud83d"'
    with pytest.raises(InvalidInputError, match="lone surrogate") as caught:
        _read(b'{"input": [' + b",".join(items) + b"]}" + LARGE)
    assert caught.value.param == "input[1500]"
    text = b'"' + b"a" * 100_000 + b"\xe9" + b'"'
    with pytest.raises(InvalidInputError, match="not valid UTF-8 at byte 100011,") as caught:
        _read(b'{"input": ' + text + b"}")
    assert caught.value.param == "input"
