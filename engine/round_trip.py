"""Tells whether token ids are those that a tokenizer makes of the text that they stand for."""

from __future__ import annotations

import numpy as np
import tokenizers

from engine.types import IntArray

_LONGEST = 1024
_CUT_IDS = 32
"""So many next to a cut may come out otherwise: they lack those that were cut off."""
_RARE = "\U00012345"
"""A letter, so that no normalizer drops it, and one that hardly any vocabulary has."""
_PROBES = ("The unbelievable cat, and a dog's 42 toys!", "a", f"the {_RARE} cat")


class RoundTrip:
    """Decodes ids, encodes the text, and compares. Thread-safe.

    Some ids of a text do not come out of its decoded text again, and are not looked at: unknown
    tokens, as any text may stand there, and spaces, which tokenizers add and join.
    """

    def __init__(self, tokenizer: tokenizers.Tokenizer, max_input_tokens: int) -> None:
        self._tokenizer = tokenizer
        self._longest = max(_LONGEST, max_input_tokens)
        self._unknown = self._find_unknown()
        # Without a fit decoder its own ids would fail: none are told from others then.
        self._tells = all(self._returns(self._encode(text), 0) for text in _PROBES)

    def most(self, count: int) -> int:
        """How many of so many ids are looked at."""
        return min(count, self._longest)

    def holds(self, ids: IntArray, *, may_be_cut: bool) -> bool:
        """Whether they may be the ids of a text; of many, the first ones.

        `may_be_cut` says that some may be missing at one place, of a text that was too long.
        """
        if not self._tells:
            return True
        if ids.size > self._longest:
            kept = ids[: self._longest]
            sure = self._comparable(kept[:-_CUT_IDS])
            found = self._comparable(self._encode(self._decode(kept)))
            return bool(np.array_equal(found[: sure.size], sure))
        return self._returns(ids, min(_CUT_IDS, ids.size // 3) if may_be_cut else 0)

    def _returns(self, ids: IntArray, most_different: int) -> bool:
        """Whether all come out again but so many at one place."""
        wanted = self._comparable(ids)
        found = self._comparable(self._encode(self._decode(ids)))
        if np.array_equal(found, wanted):
            return True
        shorter = min(found.size, wanted.size)
        same_head = _equal_at_start(found, wanted, shorter)
        same_tail = _equal_at_start(found[::-1], wanted[::-1], shorter - same_head)
        return wanted.size - same_head - same_tail <= most_different and most_different > 0

    def _encode(self, text: str) -> IntArray:
        return np.array(self._tokenizer.encode(text, add_special_tokens=False).ids, np.int32)

    def _decode(self, ids: IntArray) -> str:
        """The text, with an unknown character for the unknown token, whose name is another text."""
        tokens = [
            _RARE if token_id == self._unknown else self._tokenizer.id_to_token(token_id) or ""
            for token_id in ids.tolist()
        ]
        decoder = self._tokenizer.decoder
        return " ".join(tokens) if decoder is None else str(decoder.decode(tokens))

    def _comparable(self, ids: IntArray) -> IntArray:
        return ids[[self._is_compared(token_id) for token_id in ids.tolist()]]

    def _is_compared(self, token_id: int) -> bool:
        if token_id == self._unknown:
            return False
        token = self._tokenizer.id_to_token(token_id)
        return token is None or bool(token.strip("\u2581\u0120 "))

    def _find_unknown(self) -> int | None:
        """The id of what the vocabulary lacks; None if the tokenizer has bytes for it, or none."""
        ids = self._tokenizer.encode(_RARE, add_special_tokens=False).ids
        decoded = self._tokenizer.decode(ids, skip_special_tokens=False)
        if not ids or _RARE in decoded:
            return None
        return int(ids[-1])


def _equal_at_start(one: IntArray, other: IntArray, most: int) -> int:
    """How many of the first `most` are equal before the first that differs."""
    differs = one[:most] != other[:most]
    return int(np.argmax(differs)) if differs.any() else most
