"""Reads the JSON of a request in slices, so that no body holds up the requests beside it.

A parser in C can't be interrupted: it takes seconds, and gigabytes, for 14 MB of short lists. So
the reader looks for the end of a slice of whole items, gives that slice to the parser, and counts.
What a request can't have is refused where it stands: an unknown field at its name, one item too
many at the end of its slice.

It reads what requests hold, an object of texts, numbers and lists of both, and no JSON beyond that.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import orjson

from engine.errors import InvalidInputError, TooManyInputsError
from engine.inputs import ANY_ITEM, mixed_input
from functions.errors import shorten
from functions.json_faults import Body, MalformedJsonError, parse_part, start_of_json
from functions.slices import Slices

WINDOW_BYTES = 32 * 1024
"""What is looked at, and parsed, in one slice."""
MAX_FIELDS = 64
_MAX_SCALAR_BYTES = 32 * 1024
_DEEPEST_LIST = 2

_SPACE = rb"[ \t\n\r]*+"
_TEXT = rb'"(?:[^"\\]++|\\.)*+"'
_SCALAR = rb'[^"\[\]{},: \t\n\r]++'
_ITEMS = {1: rb"(?:" + _TEXT + rb"|" + _SCALAR + rb'|\[[^"\[\]{}]*+\])'}
_ITEMS |= {2: rb"(?:" + _TEXT + rb"|" + _SCALAR + rb")"}
_ITEM = {depth: re.compile(item, re.DOTALL) for depth, item in _ITEMS.items()}
_RUN = {
    depth: re.compile(rb"(?:" + _SPACE + item + _SPACE + rb",)*+", re.DOTALL)
    for depth, item in _ITEMS.items()
}
"""Whole items, each with the comma after it, by the depth of their list. The parser checks them."""
_SPACES = re.compile(_SPACE)
_SCALARS = re.compile(_SCALAR)
_HIGH, _HEX = rb"[dD][89abAB]", rb"[0-9a-fA-F]"
_CHARACTERS = re.compile(
    rb'(?:[^"\\]++|\\[^u]|\\u(?!' + _HIGH + rb")" + _HEX + rb"{4}"
    rb"|\\u" + _HIGH + _HEX + rb"{2}\\u" + _HEX + rb"{4})*+",
    re.DOTALL,
)
"""A part of a text that ends neither in an escape nor between the two of a surrogate pair."""


class NestedValueError(Exception):
    """A known field has an object or a list, which it can't have. `value` is an empty one."""

    def __init__(self, field: str, value: dict[str, object] | list[object]) -> None:
        super().__init__(field)
        self.field = field
        self.value = value


@dataclass(frozen=True, slots=True)
class JsonShape:
    """What an object may hold.

    `lists` are those of its `fields` that may have a list: of at most `max_items` texts and lists,
    and of at most `max_numbers` numbers in all. `unknown` makes the error for any other field.
    """

    fields: AbstractSet[str]
    lists: AbstractSet[str]
    max_items: int
    max_numbers: int
    unknown: Callable[[str], InvalidInputError]


def read_object(body: Body, shape: JsonShape) -> Slices[dict[str, object]]:
    """The known fields of a JSON object and their values; where one comes twice, the last counts.

    A small body is parsed at once: even the worst of its size takes less than a slice may.

    Raises:
        InvalidInputError: not JSON, or not of the shape; names the field, the item or the byte.
        NestedValueError: a known field has a value that none has.
    """
    if len(body) <= WINDOW_BYTES:
        fields = _parse_small(body, shape)
        if fields is not None:
            return fields
    return (yield from JsonReader(body, shape).read())


def _parse_small(body: Body, shape: JsonShape) -> dict[str, object] | None:
    """None where it is not a JSON object: the reader says why."""
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(found, dict):
        return None
    if len(found) > MAX_FIELDS:
        raise too_many_fields()
    if found.keys() <= shape.fields:
        return found
    for name, value in found.items():
        if name not in shape.fields and value is not None:
            raise shape.unknown(name)
    return {name: value for name, value in found.items() if name in shape.fields}


class JsonReader:
    """Reads one body, once."""

    def __init__(self, body: Body, shape: JsonShape, *, window_bytes: int = WINDOW_BYTES) -> None:
        self._body = body
        self._shape = shape
        self._window_bytes = window_bytes
        self._at = start_of_json(body)
        self._numbers = 0

    def read(self) -> Slices[dict[str, object]]:
        """Same as `read_object`, in slices whatever the size."""
        found: dict[str, object] = {}
        yield from self._skip_spaces()
        if self._next() != b"{":
            if self._next() and self._next() in b'["-0123456789tfn':
                raise InvalidInputError("The body must be a JSON object.", param=None)
            raise self._unexpected("an object")
        self._at += 1
        yield from self._skip_spaces()
        if self._next() == b"}":
            self._at += 1
        else:
            yield from self._read_fields(found)
        yield from self._skip_spaces()
        if self._next():
            raise self._unexpected("nothing after the object")
        return found

    def _read_fields(self, found: dict[str, object]) -> Slices[None]:
        for _ in range(MAX_FIELDS):
            yield from self._skip_spaces()
            if self._next() != b'"':
                raise self._unexpected("the name of a field")
            name = yield from self._read_text(None)
            yield from self._skip_spaces()
            self._take(b":", "a colon")
            yield from self._skip_spaces()
            yield from self._read_field(name, found)
            yield from self._skip_spaces()
            if self._next() == b"}":
                self._at += 1
                return
            self._take(b",", "a comma or the end of the object")
        raise too_many_fields()

    def _read_field(self, name: str, found: dict[str, object]) -> Slices[None]:
        start = self._next()
        if name not in self._shape.fields:
            if start in (b'"', b"[", b"{") or self._read_scalar(shorten(name)) is not None:
                raise self._shape.unknown(name)
            return
        found.pop(name, None)
        if start == b"{":
            raise NestedValueError(name, {})
        if start == b"[" and name not in self._shape.lists:
            raise NestedValueError(name, [])
        self._numbers = 0
        found[name] = yield from self._read_value(name, depth=0)

    def _read_value(self, param: str, *, depth: int) -> Slices[object]:
        """Any value; `depth` is that of the list around it, if there is one."""
        start = self._next()
        if start == b'"':
            return (yield from self._read_text(param))
        if start == b"{" or (start == b"[" and depth == _DEEPEST_LIST):
            wanted = "a token id" if depth == _DEEPEST_LIST else ANY_ITEM
            raise mixed_input(param, {} if start == b"{" else [], wanted)
        if start == b"[":
            return (yield from self._read_list(param, depth + 1))
        return self._read_scalar(param)

    def _read_list(self, param: str, depth: int) -> Slices[list[object]]:
        self._at += 1
        items: list[object] = []
        yield from self._skip_spaces()
        if self._next() == b"]":
            self._at += 1
            return items
        while True:
            run = _RUN[depth].match(self._body, self._at, self._at + self._window_bytes)
            if run is not None and run.end() > self._at:
                new = self._parse_run(run, f"{param}[{{}}]", len(items), depth)
                items += new
                self._check_counts(items, new, param, depth)
            else:  # The last item, or one that is longer than the window.
                yield from self._skip_spaces()
                item = yield from self._read_value(f"{param}[{len(items)}]", depth=depth)
                items.append(item)
                self._check_counts(items, [] if isinstance(item, list) else [item], param, depth)
                yield from self._skip_spaces()
                if self._next() == b"]":
                    self._at += 1
                    return items
                self._take(b",", f"a comma or the end of {param}")
            yield

    def _parse_run(self, run: re.Match[bytes], param: str, index: int, depth: int) -> list[object]:
        """Parse whole items, the first of which has this index."""
        raw = run[0][:-1]
        try:
            items: list[object] = orjson.loads(b"[%b]" % raw)
        except orjson.JSONDecodeError:
            for at, item in enumerate(_ITEM[depth].finditer(raw), index):
                parse_part(item[0], offset=run.start() + item.start(), param=param.format(at))
            raise
        self._at = run.end()
        return items

    def _check_counts(
        self, items: list[object], new: Sequence[object], param: str, depth: int
    ) -> None:
        shape = self._shape
        if depth == 1 and isinstance(items[0], str | list):
            if len(items) > shape.max_items:
                raise TooManyInputsError(inputs=len(items), limit=shape.max_items, counted=False)
            if isinstance(items[0], str):
                return
        self._numbers += len(new) + sum(len(item) - 1 for item in new if type(item) is list)
        if self._numbers > shape.max_numbers:
            raise InvalidInputError(
                f"{param} has more than {shape.max_numbers} token ids. Split the request.",
                param=param,
            )

    def _read_text(self, param: str | None) -> Slices[str]:
        self._at += 1
        parts: list[str] = []
        while self._next() != b'"':
            end = self._end_of_part()
            if end == self._at:
                raise self._fault_in_text(param)
            part = b'"' + self._body[self._at : end] + b'"'
            parts.append(str(parse_part(part, offset=self._at - 1, param=param)))
            self._at = end
            yield
        self._at += 1
        return "".join(parts)

    def _end_of_part(self) -> int:
        """Where the next slice of a text ends: not within a character."""
        body, window_end = self._body, self._at + self._window_bytes
        part = _CHARACTERS.match(body, self._at, window_end)
        end = self._at if part is None else part.end()
        if end < window_end or end == len(body) or body[end] & 0xC0 != 0x80:
            return end
        while end > self._at and body[end] & 0xC0 == 0x80:
            end -= 1
        return end

    def _fault_in_text(self, param: str | None) -> InvalidInputError:
        """What is wrong with the character that comes next."""
        at = self._at
        raw = self._body[at : at + 4]
        if raw.startswith(b"\\"):
            raw = self._body[at : at + 12]
            raw = raw[: next((i for i, byte in enumerate(raw) if byte > 0x7F), len(raw))]
        try:
            parse_part(b'"' + raw + b'"', offset=at - 1, param=param)
        except InvalidInputError as exc:
            return exc
        return self._unexpected("the end of a text")

    def _read_scalar(self, param: str) -> object:
        """A number, true, false or null."""
        start = self._at
        token = _SCALARS.match(self._body, start, start + _MAX_SCALAR_BYTES + 1)
        if token is None:
            raise self._unexpected(f"the value of {param}")
        if token.end() - start > _MAX_SCALAR_BYTES:
            reason = f"a number of more than {_MAX_SCALAR_BYTES} characters"
            raise MalformedJsonError(reason, offset=start, param=param)
        self._at = token.end()
        return parse_part(token[0], offset=start, param=param)

    def _skip_spaces(self) -> Slices[None]:
        while self._next() and self._next() in b" \t\n\r":
            spaces = _SPACES.match(self._body, self._at, self._at + self._window_bytes)
            self._at = self._at if spaces is None else spaces.end()
            if spaces is not None and spaces.end() - spaces.start() == self._window_bytes:
                yield

    def _take(self, byte: bytes, wanted: str) -> None:
        if self._next() != byte:
            raise self._unexpected(wanted)
        self._at += 1

    def _next(self) -> Body:
        """The next byte; none at the end."""
        return self._body[self._at : self._at + 1]

    def _unexpected(self, wanted: str) -> MalformedJsonError:
        is_end = self._at >= len(self._body)
        reason = f"it ends before {wanted}" if is_end else f"expected {wanted}"
        return MalformedJsonError(reason, offset=self._at)


def too_many_fields() -> InvalidInputError:
    """The error for an object with more fields than any request has."""
    return InvalidInputError(f"The body has more than {MAX_FIELDS} fields.", param=None)
