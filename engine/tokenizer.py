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
    ManifestError,
    TooManyInputsError,
    TooManyTokensError,
    UnknownPromptError,
)
from engine.inputs import ITEMS, as_list, checked_texts, param_of, size_of
from engine.model_files import MAX_TOKENIZER_BYTES, read_bounded
from engine.pieces import PieceReader, Steps, TextIds
from engine.tiktoken_ids import LONGEST_TOKEN_BYTES, decode_inputs, open_vocabulary
from engine.token_ids import OwnIds, ends_with
from engine.types import Encoding, Inputs, IntArray, TokenIds, Truncate

PROBES = ("a", "Zz 9", "\u4e00 \U0001f600")
"""A tokenizer that lacks its unknown token fails at one of these."""
_EMPTY_IDS: IntArray = np.zeros(0, dtype=np.int32)
_CHARACTERS_AN_ID = 4


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
        token_ids: TokenIds = TokenIds.MODEL,
    ) -> None:
        """Raises ConfigurationError where `token_ids` needs a package that is not installed."""
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
        self._own_ids = OwnIds(
            tokenizer,
            prefix=self._prefix,
            suffix=self._suffix,
            prompts={name: (text, self._prompt_ids[name]) for name, text in prompts.items()},
            vocabulary_size=vocabulary_size,
            max_input_tokens=max_input_tokens,
            are_refused=token_ids is TokenIds.REFUSE,
        )
        is_of_model = token_ids in (TokenIds.MODEL, TokenIds.REFUSE)
        self._vocabulary = None if is_of_model else open_vocabulary(token_ids)

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
        token_ids: TokenIds = TokenIds.MODEL,
    ) -> Self:
        """Read a `tokenizer.json`.

        Raises:
            ConfigurationError: `token_ids` needs a package that is not installed.
            ManifestError: the file is not one that the `tokenizers` library reads.
        """
        try:
            text = read_bounded(path, MAX_TOKENIZER_BYTES).decode("utf-8")
            tokenizer = tokenizers.Tokenizer.from_str(text)
            tokenizer.encode_batch(PROBES)
        except OSError as exc:
            raise ManifestError(f"{path} can't be read: {exc.strerror or exc}.") from exc
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
            token_ids=token_ids,
        )

    @property
    def longest_request_tokens(self) -> int:
        """The most tokens that a request of one input may have."""
        return min(self.max_input_tokens, self.max_request_tokens)

    def last_id(self) -> Encoding:
        """The last id of the vocabulary and the special ones, to see whether a model has it."""
        return self._framed(self.vocabulary_size - 1)

    def shortest(self) -> Encoding:
        """One token and the special ones, to see whether a backend works."""
        return self._framed(0)

    def _framed(self, token_id: int) -> Encoding:
        ids = np.concatenate([self._prefix, np.array([token_id], np.int32), self._suffix])
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
        if len(inputs) > self.max_client_batch_size:
            return len(inputs)  # Refused.
        if not isinstance(inputs[0], ITEMS):
            return self._expected_of_ids(len(inputs), truncate)  # The ids of one input.
        return sum(
            self._reader.expected_characters(len(item), truncate)
            if isinstance(item, str)
            else self._expected_of_ids(size_of(item), truncate)
            for item in inputs
        )

    def _expected_of_ids(self, count: int, truncate: Truncate) -> int:
        if self._vocabulary is None:
            return count
        return self._reader.expected_characters(_CHARACTERS_AN_ID * count, truncate)

    def most_characters(self, inputs: object) -> int:
        """The most characters, or ids, that `encode` may have to look at."""
        an_id = 1 if self._vocabulary is None else LONGEST_TOKEN_BYTES
        if isinstance(inputs, str) or not isinstance(inputs, Sequence):
            return size_of(inputs) * (1 if isinstance(inputs, str) else an_id)
        return sum(
            size_of(item) if isinstance(item, str) else an_id * size_of(item) for item in inputs
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
        names_prompt = prompt_name is not None
        prompt_name = self._default_prompt_name if prompt_name is None else prompt_name
        if prompt_name is not None and prompt_name not in self._prompts:
            raise UnknownPromptError(name=prompt_name, known=sorted(self._prompts))
        items, single = as_list(inputs)
        if len(items) > self.max_client_batch_size:
            raise TooManyInputsError(inputs=len(items), limit=self.max_client_batch_size)
        cut: set[int] = set()
        if isinstance(items[0], str):
            texts = checked_texts(items, single)
            rows = yield from self._encode_texts(texts, truncate, prompt_name, single)
        elif self._vocabulary is None:
            found = yield from self._own_ids.read(items, prompt_name, names_prompt, single)
            rows = [TextIds(ids, whole=True) for ids in found]
        else:
            texts, cut = yield from decode_inputs(self._vocabulary, items, single)
            rows = yield from self._encode_texts(texts, truncate, prompt_name, single)
        encodings = [
            self._fit(row, truncate, prompt_name, param_of(index, single), is_cut=index in cut)
            for index, row in enumerate(rows)
        ]
        total = sum(encoding.tokens for encoding in encodings)
        if total > self.max_request_tokens:
            raise TooManyTokensError(tokens=total, limit=self.max_request_tokens)
        return encodings

    def _encode_texts(
        self, texts: Sequence[str], truncate: Truncate, prompt_name: str | None, single: bool
    ) -> Steps[list[TextIds]]:
        head_tokens = 0
        if prompt_name is not None:
            texts = [self._prompts[prompt_name] + text for text in texts]
            head_tokens = self._prompt_ids[prompt_name].size
        params = [param_of(index, single) for index in range(len(texts))]
        found = yield from self._reader.read(
            texts, truncate, head_tokens=head_tokens, params=params
        )
        return [
            TextIds(np.concatenate([self._prefix, row.ids, self._suffix]), row.whole)
            for row in found
        ]

    def _fit(
        self,
        row: TextIds,
        truncate: Truncate,
        prompt_name: str | None,
        param: str,
        *,
        is_cut: bool,
    ) -> Encoding:
        """Cut to the limit if asked to, keeping special tokens and the prompt.

        `is_cut` says that a part of it was left out before.
        """
        ids = row.ids
        if ids.size <= self.max_input_tokens:
            if ids.size == 0:
                raise EmptyInputError(f"{param} has no tokens.", param=param)
            return Encoding(ids, truncated=is_cut)
        if truncate is Truncate.NONE:
            raise InputTooLongError(
                param=param,
                tokens=int(ids.size),
                limit=self.max_input_tokens,
                counted=row.whole,
            )
        tail = self._suffix if ends_with(ids, self._suffix) else _EMPTY_IDS
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
