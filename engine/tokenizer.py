"""The only maker of an Encoding: prompts, special tokens, limits and truncation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
import tokenizers

from engine.errors import (
    EmptyInputError,
    InputTooLongError,
    InvalidInputError,
    MalformedTextError,
    ManifestError,
    TokenIdError,
    TooManyInputsError,
    TooManyTokensError,
    UnknownPromptError,
)
from engine.pieces import PieceReader, Steps, TextIds
from engine.types import Encoding, Inputs, IntArray, Truncate

_EMPTY_IDS: IntArray = np.zeros(0, dtype=np.int32)
_NOT_IDS = (str, bytes, bytearray, memoryview)
"""Sequences that are neither several texts nor token ids."""
_ITEMS = (str, Sequence, np.ndarray)
"""What a list of several inputs has; one of ids has numbers."""


class Tokenizer:
    """Turns the inputs of one request into Encodings, or refuses them.

    Both backends get their ids from here, so counts, limits and errors are the same for both.
    Thread-safe: nothing changes after construction.
    """

    def __init__(
        self,
        tokenizer: tokenizers.Tokenizer,
        *,
        vocabulary_size: int,
        max_input_tokens: int,
        max_client_batch_size: int,
        max_request_tokens: int,
        prompts: dict[str, str],
        default_prompt_name: str | None = None,
    ) -> None:
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self._tokenizer = tokenizer
        self.vocabulary_size = vocabulary_size
        self.max_input_tokens = max_input_tokens
        self.max_client_batch_size = max_client_batch_size
        self.max_request_tokens = max_request_tokens
        self._prompts = dict(prompts)
        self._default_prompt_name = default_prompt_name
        self._prefix, self._suffix = special_ids(tokenizer)
        self._prompt_ids = {name: self._ids(text) for name, text in prompts.items()}
        self._reader = PieceReader(tokenizer, max_input_tokens)

    @classmethod
    def from_file(
        cls,
        path: Path,
        *,
        vocabulary_size: int,
        max_input_tokens: int,
        max_client_batch_size: int,
        max_request_tokens: int,
        prompts: dict[str, str],
        default_prompt_name: str | None = None,
    ) -> Self:
        """Read a `tokenizer.json`.

        Raises:
            ManifestError: the file is not one that the `tokenizers` library reads.
        """
        try:
            tokenizer = tokenizers.Tokenizer.from_file(str(path))
        except Exception as exc:  # the library raises plain Exception
            raise ManifestError(f"{path} is not a tokenizer: {exc}") from exc
        return cls(
            tokenizer,
            vocabulary_size=vocabulary_size,
            max_input_tokens=max_input_tokens,
            max_client_batch_size=max_client_batch_size,
            max_request_tokens=max_request_tokens,
            prompts=prompts,
            default_prompt_name=default_prompt_name,
        )

    @property
    def longest_request_tokens(self) -> int:
        """The most tokens that a request of one input may have."""
        return min(self.max_input_tokens, self.max_request_tokens)

    def shortest(self) -> Encoding:
        """One token and the special ones, to see whether a backend works."""
        ids = self._complete(np.zeros(1, dtype=np.int32), None)
        return Encoding(ids[: self.max_input_tokens], truncated=False)

    def encode(
        self,
        inputs: Inputs,
        *,
        truncate: Truncate = Truncate.NONE,
        prompt_name: str | None = None,
    ) -> list[Encoding]:
        """Encode all inputs of one request, in order.

        Without `prompt_name`, the model's default prompt is put in front, if it has one.

        Raises:
            InvalidInputError: one of its subclasses, naming the field at fault.
        """
        steps = self.encode_in_steps(inputs, truncate=truncate, prompt_name=prompt_name)
        while True:
            try:
                next(steps)
            except StopIteration as stop:
                encodings: list[Encoding] = stop.value
                return encodings

    def expected_characters(self, inputs: Inputs, truncate: Truncate) -> int:
        """About how many characters, or ids, `encode` will have to look at."""
        if isinstance(inputs, str):
            return self._reader.expected_characters(len(inputs), truncate)
        if len(inputs) > self.max_client_batch_size or not isinstance(inputs[0], _ITEMS):
            return len(inputs)  # Refused, or the ids of one input.
        return sum(
            self._reader.expected_characters(len(item), truncate)
            if isinstance(item, str)
            else size_of(item)
            for item in inputs
        )

    def encode_in_steps(
        self,
        inputs: Inputs,
        *,
        truncate: Truncate = Truncate.NONE,
        prompt_name: str | None = None,
    ) -> Steps[list[Encoding]]:
        """Same as `encode`, in steps of a bounded size where the tokenizer allows it."""
        truncate = Truncate(truncate)
        prompt_name = self._default_prompt_name if prompt_name is None else prompt_name
        if prompt_name is not None and prompt_name not in self._prompts:
            raise UnknownPromptError(name=prompt_name, known=sorted(self._prompts))
        items, single = _as_list(inputs)
        if len(items) > self.max_client_batch_size:
            raise TooManyInputsError(inputs=len(items), limit=self.max_client_batch_size)
        if isinstance(items[0], str):
            texts = self._checked_texts(items, prompt_name, single)
            rows = yield from self._encode_texts(texts, truncate, prompt_name, single)
        else:
            rows = []
            for index, item in enumerate(items):
                yield size_of(item)
                ids = self._checked_ids(item, _param(index, single))
                rows.append(TextIds(self._complete(ids, prompt_name), whole=True))
        encodings = [
            self._fit(row, truncate, prompt_name, _param(index, single))
            for index, row in enumerate(rows)
        ]
        total = sum(encoding.tokens for encoding in encodings)
        if total > self.max_request_tokens:
            raise TooManyTokensError(tokens=total, limit=self.max_request_tokens)
        return encodings

    def _checked_texts(
        self, items: Sequence[object], prompt_name: str | None, single: bool
    ) -> list[str]:
        texts: list[str] = []
        prompt = "" if prompt_name is None else self._prompts[prompt_name]
        for index, item in enumerate(items):
            if not isinstance(item, str):
                raise _mixed(_param(index, single), "text")
            if not item:
                raise EmptyInputError(
                    f"{_param(index, single)} is an empty string.", param=_param(index, single)
                )
            if not _is_valid_unicode(item):
                raise MalformedTextError(
                    f"{_param(index, single)} has a lone surrogate, which is not valid Unicode.",
                    param=_param(index, single),
                )
            texts.append(prompt + item)
        return texts

    def _encode_texts(
        self, texts: Sequence[str], truncate: Truncate, prompt_name: str | None, single: bool
    ) -> Steps[list[TextIds]]:
        prompt = _EMPTY_IDS if prompt_name is None else self._prompt_ids[prompt_name]
        params = [_param(index, single) for index in range(len(texts))]
        found = yield from self._reader.read(
            texts, truncate, head_tokens=prompt.size, params=params
        )
        return [
            TextIds(np.concatenate([self._prefix, row.ids, self._suffix]), row.whole)
            for row in found
        ]

    def _checked_ids(self, item: object, param: str) -> IntArray:
        if isinstance(item, _NOT_IDS) or not isinstance(item, (Sequence, np.ndarray)):
            raise _mixed(param, "token ids")
        if isinstance(item, np.ndarray) and item.ndim != 1:
            raise _mixed(param, "token ids")
        if len(item) == 0:
            raise EmptyInputError(f"{param} is an empty list.", param=param)
        if isinstance(item, np.ndarray):
            if item.dtype.kind not in "iu":
                raise _mixed(param, "token ids")
        elif not all(map(_is_integer, set(map(type, item)))):
            raise _mixed(param, "token ids")
        try:
            ids = np.asarray(item) if isinstance(item, np.ndarray) else np.array(item, np.int64)
        except OverflowError:
            wrong = next(value for value in item if not 0 <= value < self.vocabulary_size)
            raise self._outside(param, wrong) from None
        outside = (ids < 0) | (ids >= self.vocabulary_size)
        if outside.any():
            raise self._outside(param, int(ids[np.argmax(outside)]))
        return ids.astype(np.int32)

    def _outside(self, param: str, token_id: int) -> TokenIdError:
        return TokenIdError(
            param=param, token_id=int(token_id), vocabulary_size=self.vocabulary_size
        )

    def _complete(self, ids: IntArray, prompt_name: str | None) -> IntArray:
        """Add the special tokens, unless the ids have them, and the prompt's ids."""
        prompt = _EMPTY_IDS if prompt_name is None else self._prompt_ids[prompt_name]
        if self._has_specials(ids):
            head = self._prefix.size
            return np.concatenate([ids[:head], prompt, ids[head:]])
        return np.concatenate([self._prefix, prompt, ids, self._suffix])

    def _has_specials(self, ids: IntArray) -> bool:
        if self._prefix.size:
            return bool(np.array_equal(ids[: self._prefix.size], self._prefix))
        return self._suffix.size > 0 and self._ends_with_suffix(ids)

    def _ends_with_suffix(self, ids: IntArray) -> bool:
        return bool(np.array_equal(ids[ids.size - self._suffix.size :], self._suffix))

    def _fit(
        self, row: TextIds, truncate: Truncate, prompt_name: str | None, param: str
    ) -> Encoding:
        """Cut to the limit if asked to, keeping special tokens and the prompt."""
        ids = row.ids
        if ids.size <= self.max_input_tokens:
            if ids.size == 0:
                raise EmptyInputError(f"{param} has no tokens.", param=param)
            return Encoding(ids, truncated=False)
        if truncate is Truncate.NONE:
            raise InputTooLongError(
                param=param,
                tokens=int(ids.size),
                limit=self.max_input_tokens,
                counted=row.whole,
            )
        tail = self._suffix if self._ends_with_suffix(ids) else _EMPTY_IDS
        body = ids[: ids.size - tail.size]
        room = self.max_input_tokens - tail.size
        head = self._head_tokens(body, prompt_name)
        if head >= room:
            raise InvalidInputError(
                f"The special tokens and the prompt {prompt_name!r} alone have "
                f"{head + tail.size} tokens, and this model takes at most "
                f"{self.max_input_tokens}: nothing of {param} would be left.",
                param=param if prompt_name is None else "prompt_name",
            )
        if truncate is Truncate.END:
            kept = body[:room]
        else:
            kept = np.concatenate([body[:head], body[body.size - (room - head) :]])
        return Encoding(np.concatenate([kept, tail]), truncated=True)

    def _head_tokens(self, ids: IntArray, prompt_name: str | None) -> int:
        """How many ids at the start are special or the prompt's.

        Where the tokenizer merged the end of the prompt with the start of the text, the merged
        token counts as text.
        """
        prompt = _EMPTY_IDS if prompt_name is None else self._prompt_ids[prompt_name]
        head = np.concatenate([self._prefix, prompt])[: ids.size]
        differs = head != ids[: head.size]
        return int(np.argmax(differs)) if differs.any() else head.size

    def _ids(self, text: str) -> IntArray:
        encoding = self._tokenizer.encode(text, add_special_tokens=False)
        return np.array(encoding.ids, dtype=np.int32)


def special_ids(tokenizer: tokenizers.Tokenizer) -> tuple[IntArray, IntArray]:
    """The ids that the tokenizer puts before and after every text."""
    probe = tokenizer.encode("a", add_special_tokens=False).ids
    framed = tokenizer.encode("a", add_special_tokens=True).ids
    if not probe:
        raise ManifestError("The tokenizer has no token for the text 'a'.")
    for start in range(len(framed) - len(probe) + 1):
        if framed[start : start + len(probe)] == probe:
            end = start + len(probe)
            return np.array(framed[:start], np.int32), np.array(framed[end:], np.int32)
    raise ManifestError("The tokenizer changes a text's ids when it adds special tokens.")


def _as_list(inputs: object) -> tuple[Sequence[object], bool]:
    """The inputs as a list, and whether it was a single one."""
    if isinstance(inputs, str):
        return [inputs], True
    if (
        not isinstance(inputs, (Sequence, np.ndarray))
        or isinstance(inputs, _NOT_IDS)
        or (isinstance(inputs, np.ndarray) and inputs.ndim == 0)
    ):
        raise _mixed("input", "text, texts or token ids")
    if len(inputs) == 0:
        raise EmptyInputError("input is an empty list.", param="input")
    first = inputs[0]
    if isinstance(first, _ITEMS):
        return list(inputs), False
    return [inputs], True


def size_of(item: object) -> int:
    """Characters of a text, or ids of a list of them; 1 of what is neither."""
    if isinstance(item, np.ndarray):
        return item.size
    return len(item) if isinstance(item, Sequence) else 1


def _param(index: int, single: bool) -> str:
    return "input" if single else f"input[{index}]"


def _mixed(param: str, wanted: str) -> InvalidInputError:
    return InvalidInputError(
        f"{param} is not {wanted}. Send a string, a list of strings, a list of token ids "
        "or a list of lists of token ids.",
        param=param,
    )


def _is_integer(kind: type) -> bool:
    return issubclass(kind, (int, np.integer)) and kind is not bool


def _is_valid_unicode(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
