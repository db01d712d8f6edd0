"""Reads texts in pieces, as far as their tokens are wanted.

A text of 16 MB takes many seconds and gigabytes to tokenize; of 256 tokens that are kept of it, a
thousandth of that. So a text is read from the end that is kept, a piece at a time, until there are
tokens enough. Pieces end at safe places (`engine.safe_cuts`), so the tokens are those of the whole.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

import numpy as np
import tokenizers

from engine.errors import UnbrokenTextError
from engine.safe_cuts import SafeCuts
from engine.types import IntArray, Truncate

T = TypeVar("T")
Steps: TypeAlias = Generator[int, None, T]
"""Work in steps. It yields how many characters, or ids, the next step has, and returns a result."""

STEP_CHARACTERS = 16_384
"""What is tokenized at once, of one text or of several: about 10 ms and 4 MB."""
_UNBROKEN_CHARACTERS = 2**18
_LEAST_PIECE_CHARACTERS = 1024
_CHARACTERS_A_TOKEN = 6
"""More than in most languages, so that one piece is enough for most texts that are cut."""
_COUNTED_CHARACTERS_A_TOKEN = 16


@dataclass(frozen=True, slots=True, eq=False)
class TextIds:
    """The ids of a text without special tokens; where not `whole`, those in the middle lack.

    There are more of them than the limit then.
    """

    ids: IntArray
    whole: bool


class PieceReader:
    """Reads texts for a model that takes `max_input_tokens` of one. Thread-safe."""

    def __init__(self, tokenizer: tokenizers.Tokenizer, max_input_tokens: int) -> None:
        self._tokenizer = tokenizer
        self._cuts = SafeCuts(tokenizer)
        self.enough_tokens = max_input_tokens + 1
        usual = max(_LEAST_PIECE_CHARACTERS, _CHARACTERS_A_TOKEN * max_input_tokens)
        self.piece_characters = min(usual, STEP_CHARACTERS)
        self.unbroken_characters = max(
            _UNBROKEN_CHARACTERS, _COUNTED_CHARACTERS_A_TOKEN * max_input_tokens
        )
        """The longest stretch without a place to cut, and the longest text counted to its end."""
        self._usual_characters = usual

    def expected_characters(self, characters: int, truncate: Truncate) -> int:
        """How many of a text's characters are read, as far as its length tells."""
        is_cut = truncate is not Truncate.NONE or characters > self.unbroken_characters
        return min(characters, self._usual_characters) if is_cut else characters

    def read(
        self, texts: Sequence[str], truncate: Truncate, *, head_tokens: int, params: Sequence[str]
    ) -> Steps[list[TextIds]]:
        """The ids of each text, as many as `truncate` needs; always those of whole short ones.

        The first `head_tokens` are read in any case. Where one has too many tokens and may not be
        cut, those after it are not read: they get no row.

        Raises:
            UnbrokenTextError: a stretch that has to be read is longer than `unbroken_characters`
                and has no place to cut.
        """
        lengths = list(map(len, texts))
        if sum(lengths) <= STEP_CHARACTERS and max(lengths) <= self.piece_characters:
            yield sum(lengths)  # The usual case, of which each microsecond counts.
            return [TextIds(ids, whole=True) for ids in self._ids(texts)]
        readings = [
            _Reading(text, self, truncate, head_tokens, param)
            for text, param in zip(texts, params, strict=True)
        ]
        waiting = deque(readings)
        while waiting:
            group: list[_Reading] = []
            pieces: list[str] = []
            characters = 0
            while waiting and (not group or characters < STEP_CHARACTERS):
                group.append(waiting.popleft())
                pieces.append(group[-1].next_piece())
                characters += len(pieces[-1])
            yield characters
            for reading, ids in zip(group, self._ids(pieces), strict=True):
                reading.add(ids)
            refused = next((at for at, reading in enumerate(group) if reading.is_refused), None)
            if refused is not None:
                readings = readings[: readings.index(group[refused]) + 1]
                group = group[: refused + 1]
                waiting.clear()
            waiting.extendleft(reading for reading in reversed(group) if not reading.is_done)
        return [reading.result() for reading in readings]

    def _ids(self, texts: Sequence[str]) -> list[IntArray]:
        """Without the library's encodings, which have hundreds of bytes a token."""
        encoded = self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        return [np.array(encoding.ids, dtype=np.int32) for encoding in encoded]

    def cut_after(self, text: str, start: int, end: int) -> int | None:
        """Where the first piece of text[start:end] ends; None if it has no place to cut."""
        size = self.piece_characters
        place = self._cuts.last(text, start, start + size)
        if place is None:
            last = min(start + self.unbroken_characters, end - 1)
            place = self._cuts.first(text, start + size, last)
        return place

    def cut_before(self, text: str, start: int, end: int) -> int | None:
        """Where the last piece of text[start:end] starts; None if it has no place to cut."""
        size = self.piece_characters
        place = self._cuts.first(text, end - size - 1, end - 1)
        if place is None:
            first = max(end - self.unbroken_characters - 1, start)
            place = self._cuts.last(text, first, end - size - 1)
        return place


class _Reading:
    """How far one text has been read: `text[_start:_end]` has not been."""

    def __init__(
        self, text: str, reader: PieceReader, truncate: Truncate, head_tokens: int, param: str
    ) -> None:
        self._text = text
        self._reader = reader
        self._truncate = truncate
        self._head_tokens = head_tokens
        self._param = param
        self._start, self._end = 0, len(text)
        self._head: list[IntArray] = []
        self._tail: list[IntArray] = []
        self._is_at_end = self._is_head_read
        self.is_done = False

    @property
    def is_refused(self) -> bool:
        """Whether it has too many tokens and may not be cut."""
        return self._truncate is Truncate.NONE and self._is_enough(self._head)

    @property
    def _is_head_read(self) -> bool:
        is_start = self._truncate is Truncate.START
        return is_start and _count(self._head) >= self._head_tokens

    def next_piece(self) -> str:
        """What to tokenize next; `add` takes its ids.

        Raises:
            UnbrokenTextError: it would be too long.
        """
        text, start, end = self._text, self._start, self._end
        cut = self._reader.cut_before if self._is_at_end else self._reader.cut_after
        characters, limit = end - start, self._reader.unbroken_characters
        place = cut(text, start, end) if characters > self._reader.piece_characters else None
        if place is None:
            if characters > limit:
                raise UnbrokenTextError(param=self._param, limit=limit)
            self._start = self._end
            return text[start:end]
        if self._is_at_end:
            self._end = place
            return text[place:end]
        self._start = place
        return text[start:place]

    def add(self, ids: IntArray) -> None:
        """Note the ids of the last piece."""
        parts = self._tail if self._is_at_end else self._head
        parts.append(ids)
        self._is_at_end = self._is_at_end or self._is_head_read
        self.is_done = self._start == self._end or self._has_enough()

    def result(self) -> TextIds:
        """What was read."""
        parts = [*self._head, *self._tail[::-1]]
        return TextIds(
            np.concatenate(parts) if len(parts) > 1 else parts[0], whole=self._start == self._end
        )

    def _has_enough(self) -> bool:
        if self._truncate is Truncate.START:
            return self._is_enough(self._tail)
        is_counted = len(self._text) <= self._reader.unbroken_characters
        may_stop = self._truncate is Truncate.END or not is_counted
        return may_stop and self._is_enough(self._head)

    def _is_enough(self, parts: Sequence[IntArray]) -> bool:
        return _count(parts) >= self._reader.enough_tokens


def _count(parts: Sequence[IntArray]) -> int:
    return sum(part.size for part in parts)
