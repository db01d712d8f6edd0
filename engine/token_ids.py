"""Reads token ids that a caller sends, and tells the model's own from those of other tokenizers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import tokenizers

from engine.errors import EmptyInputError, ForeignTokenIdsError, TokenIdError
from engine.inputs import NOT_IDS, is_integer, mixed_input, param_of
from engine.pieces import Steps
from engine.round_trip import RoundTrip
from engine.types import IntArray

_FIRST_IDS_OF_TIKTOKEN = 94
"""Its ids below are those of "!" to "~", with which a text may begin or end."""
_STEP_IDS = 16_384


def read_ids(
    item: object, param: str, vocabulary_size: int, encoding: str | None
) -> Steps[IntArray]:
    """One input's ids as int32, of shape (T,), in steps.

    Raises:
        InvalidInputError: not a list of integers; names the one that is none.
        EmptyInputError: there are none.
        TokenIdError: one is not in 0 <= id < `vocabulary_size`, that of `encoding` or the model.
    """
    if isinstance(item, NOT_IDS) or not isinstance(item, (Sequence, np.ndarray)):
        raise mixed_input(param, item, "a list of token ids")
    if isinstance(item, np.ndarray) and (item.ndim != 1 or item.dtype.kind not in "iu"):
        raise mixed_input(param, item, "a list of token ids")
    if len(item) == 0:
        raise EmptyInputError(f"{param} is an empty list.", param=param)
    parts = []
    for start in range(0, len(item), _STEP_IDS):
        some = item[start : start + _STEP_IDS]
        yield len(some)
        try:
            parts.append(_ids_of(some, vocabulary_size))
        except _NotAnIdError as exc:
            wrong = some[exc.index]
            if is_integer(type(wrong)):
                raise TokenIdError(
                    param=param,
                    token_id=int(wrong),
                    vocabulary_size=vocabulary_size,
                    encoding=encoding,
                ) from None
            raise mixed_input(f"{param}[{start + exc.index}]", wrong, "a token id") from None
    return np.concatenate(parts) if len(parts) > 1 else parts[0]


class _NotAnIdError(Exception):
    def __init__(self, index: int) -> None:
        super().__init__(index)
        self.index = index


def _ids_of(items: Sequence[object] | IntArray, vocabulary_size: int) -> IntArray:
    """As int32; raises _NotAnIdError for the first that is no id of the vocabulary."""
    if not isinstance(items, np.ndarray) and not all(map(is_integer, set(map(type, items)))):
        raise _NotAnIdError(next(i for i, one in enumerate(items) if not is_integer(type(one))))
    try:
        ids = np.asarray(items) if isinstance(items, np.ndarray) else np.array(items, np.int64)
    except OverflowError:
        sizes = enumerate(map(int, items))
        raise _NotAnIdError(next(i for i, one in sizes if not 0 <= one < vocabulary_size)) from None
    outside = (ids < 0) | (ids >= vocabulary_size)
    if outside.any():
        raise _NotAnIdError(int(np.argmax(outside)))
    return ids.astype(np.int32)


class OwnIds:
    """Takes ids that are a model's own, as the special tokens that its tokenizer adds tell.

    Ids of another tokenizer mostly lie in the model's vocabulary, too. Thread-safe.
    """

    def __init__(
        self,
        tokenizer: tokenizers.Tokenizer,
        *,
        prefix: IntArray,
        suffix: IntArray,
        prompts: Mapping[str, tuple[str, IntArray]],
        vocabulary_size: int,
        max_input_tokens: int,
        are_refused: bool,
    ) -> None:
        self._tokenizer = tokenizer
        self._prefix = prefix
        self._suffix = suffix
        marker = prefix if prefix.size else suffix
        self._marker_tells = bool(marker.size) and int(marker.min()) >= _FIRST_IDS_OF_TIKTOKEN
        self._vocabulary_size = vocabulary_size
        self._max_input_tokens = max_input_tokens
        self._round_trip = RoundTrip(tokenizer, max_input_tokens)
        self._are_refused = are_refused
        self._prompt_ids = {name: ids for name, (_, ids) in prompts.items()}
        self._prompt_starts = {
            name: self._start_of(text, ids) for name, (text, ids) in prompts.items()
        }

    def read(
        self, items: Sequence[object], prompt_name: str | None, names_prompt: bool, single: bool
    ) -> Steps[list[IntArray]]:
        """The ids of each input, with those of the prompt after the opening special token.

        They are what the tokenizer made of a text, so a prompt that it put there is not added
        again: the prompt itself, or any of the model's where the request did not name one.

        Raises:
            ForeignTokenIdsError: they are not the model's own, or none are taken.
            InvalidInputError: see `read_ids`.
        """
        rows: list[IntArray] = []
        for index, item in enumerate(items):
            param = param_of(index, single)
            if self._are_refused:
                raise ForeignTokenIdsError(param=param, wanted=None)
            rows.append((yield from read_ids(item, param, self._vocabulary_size, None)))
        for index, ids in enumerate(rows):
            if index:
                yield self._round_trip.most(ids.size)
            if not self._are_own(ids):
                raise ForeignTokenIdsError(param=param_of(index, single), wanted=self._wanted())
        if prompt_name is None:
            return rows
        known = [prompt_name] if names_prompt else list(self._prompt_starts)
        return [self._with_prompt(ids, prompt_name, known) for ids in rows]

    def _with_prompt(self, ids: IntArray, prompt_name: str, known: Sequence[str]) -> IntArray:
        head = self._prefix.size
        starts = [self._prompt_starts[name] for name in known]
        if any(start.size and starts_with(ids[head:], start) for start in starts):
            return ids
        return np.concatenate([ids[:head], self._prompt_ids[prompt_name], ids[head:]])

    def _start_of(self, text: str, ids: IntArray) -> IntArray:
        """The prompt's ids but for a last one that the tokenizer joins with the text after it."""
        longer = np.array(self._tokenizer.encode(f"{text}a", add_special_tokens=False).ids)
        differs = ids[: longer.size] != longer[: ids.size]
        return ids[: int(np.argmax(differs))] if differs.any() else ids

    def _are_own(self, ids: IntArray) -> bool:
        """As the opening special token tells, else the closing one, else a round trip.

        In some models the opening token has an id of those with which tiktoken's ids of ordinary
        texts begin: 2, [CLS] in several BERTs, is its "#", which opens a heading in Markdown. Of
        such ids a round trip tells, also where they end as the model's do: "#1$" does, too, in
        one whose [SEP] is 3. Likewise at the end.
        """
        opens, closes = starts_with(ids, self._prefix), ends_with(ids, self._suffix)
        if not (opens and (closes or self._prefix.size)):
            return False
        if self._marker_tells:
            return True
        end = ids.size - self._suffix.size if closes else ids.size
        is_full = ids.size == self._max_input_tokens
        return self._round_trip.holds(ids[self._prefix.size : end], may_be_cut=is_full)

    def _wanted(self) -> str:
        of_text = "are those of the text that they stand for"
        marked = f"open with {self._names(self._prefix)}"
        if not self._prefix.size:
            marked = f"end with {self._names(self._suffix)}"
        if self._marker_tells:
            return marked
        return f"{marked} and {of_text}" if self._prefix.size or self._suffix.size else of_text

    def _names(self, ids: IntArray) -> str:
        return " ".join(f"{self._tokenizer.id_to_token(int(i))} (id {i})" for i in ids)


def starts_with(ids: IntArray, start: IntArray) -> bool:
    """Whether the first ids are these; true of none."""
    return bool(np.array_equal(ids[: start.size], start))


def ends_with(ids: IntArray, end: IntArray) -> bool:
    """Whether the last ids are these; true of none."""
    return ids.size >= end.size and bool(np.array_equal(ids[ids.size - end.size :], end))
