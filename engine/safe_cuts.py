"""Places at which a text can be cut so that its pieces have the tokens of the whole.

A tokenizer looks for added tokens, normalises what lies between them, splits that into words, and
only then asks its model for the tokens of each word. So the tokens of a text are those of its
pieces, one after the other, if none of the steps before the model looks across the cut. That holds
between a letter or digit and a delimiter that another letter or digit follows, if

- the normaliser changes characters by themselves, or with combining characters after them, or runs
  of white space; the splitter ends a word where a delimiter follows a letter. Both is known of the
  kinds listed here, and of no other;
- the tokenizer itself, asked about the three characters at the cut, splits them there, and leaves
  the letter before it as it is, whatever comes before that;
- no added token contains the delimiter, or swallows white space after a letter.

A delimiter is white space, punctuation, or a Chinese character where each of them is a word.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Any

import tokenizers

_DELIMITERS = (
    " \n\t\r\u3000" + '.,;:!?()[]{}"/+-|&%#@*' + "\u3001\u3002\uff01\uff0c\uff1a\uff1b\uff1f"
)
"""Without `=`, `<` and `>`, which combining characters change, and apostrophes."""
_IDEOGRAPHS = ("\u4e00", "\u9fff")
"""The first and the last of those that some tokenizers, BERT's for one, take as words."""
_PROBES = (("a", "a"), ("Z", "Z"), ("1", "9"), ("\u4e2d", "\u6587"))
"""What comes before and after a delimiter."""
_LOCAL_NORMALIZERS = frozenset(
    {"BertNormalizer", "Lowercase", "NFC", "NFD", "NFKC", "NFKD", "Nmt", "Precompiled"}
    | {"Strip", "StripAccents"}
)
_LOCAL_SPLITTERS = frozenset(
    {"BertPreTokenizer", "ByteLevel", "Digits", "Punctuation", "Whitespace", "WhitespaceSplit"}
)
_LOCAL_PATTERNS = frozenset(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|" + digits + r"| ?[^\s\p{L}\p{N}]+"
    r"[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    for digits in (r"\p{N}", r"\p{N}{1,3}")
)
"""What Qwen 2 and Llama 3 split by."""
_LETTER = r"[^\W_\u0e33\u0eb3\uff9e\uff9f\u1100-\u11ff]"
"""Or a digit; without those that join the character before them, which SentencePiece's normaliser
replaces together with it."""
_WINDOW_CHARACTERS = 1024
_KEPT_ANSWERS = 4096


class SafeCuts:
    """Finds the places of one tokenizer. A place p cuts a text into `text[:p]` and `text[p:]`.

    Thread-safe.
    """

    def __init__(self, tokenizer: tokenizers.Tokenizer) -> None:
        self._normalizer = tokenizer.normalizer
        self._splitter = tokenizer.pre_tokenizer
        self._splits = lru_cache(_KEPT_ANSWERS)(self._splits_before_delimiter)
        self._keeps = lru_cache(_KEPT_ANSWERS)(self._keeps_last_letter)
        found = self._delimiters(tokenizer) if self._is_local() else ""
        self._pattern = re.compile(rf"{_LETTER}(?=[{found}]{_LETTER})") if found else None

    def first(self, text: str, start: int, end: int) -> int | None:
        """The first place p with start < p <= end; None if there is none."""
        if self._pattern is None:
            return None
        places = (match.end() for match in self._pattern.finditer(text, start, end + 2))
        return next((place for place in places if self._is_safe(text, place)), None)

    def last(self, text: str, start: int, end: int) -> int | None:
        """The last place p with start < p <= end; None if there is none."""
        if self._pattern is None:
            return None
        while end > start:
            begin = max(start, end - _WINDOW_CHARACTERS)
            places = [match.end() for match in self._pattern.finditer(text, begin, end + 2)]
            found = next((place for place in places[::-1] if self._is_safe(text, place)), None)
            if found is not None:
                return found
            end = begin
        return None

    def _is_safe(self, text: str, place: int) -> bool:
        before = text[max(0, place - 3) : place]
        return self._splits(text[place - 1 : place + 2]) and self._keeps(before)

    def _is_local(self) -> bool:
        return (
            self._splitter is not None
            and all(map(_is_local_normalizer, _steps(self._normalizer, "normalizers")))
            and all(map(_is_local_splitter, _steps(self._splitter, "pretokenizers")))
        )

    def _delimiters(self, tokenizer: tokenizers.Tokenizer) -> str:
        taken = ""
        for token in tokenizer.get_added_tokens_decoder().values():
            taken += token.content + self._normalized(token.content)
            if token.rstrip and token.content[-1:].isalnum():
                return ""
        first, last = _IDEOGRAPHS
        has_ideograph = any(first <= character <= last for character in taken)
        are_delimiters = all(map(self._is_delimiter, _IDEOGRAPHS)) and not has_ideograph
        found = filter(self._is_delimiter, sorted(set(_DELIMITERS) - set(taken)))
        return re.escape("".join(found)) + (f"{first}-{last}" if are_delimiters else "")

    def _is_delimiter(self, character: str) -> bool:
        return all(self._splits(before + character + after) for before, after in _PROBES)

    def _splits_before_delimiter(self, three: str) -> bool:
        """Whether letter, delimiter and letter become the words of the first, then of the rest."""
        return self._words(three) == self._words(three[:1]) + self._words(three[1:])

    def _keeps_last_letter(self, text: str) -> bool:
        """Whether the last character is normalised by itself, and ends in a letter or digit."""
        last = self._normalized(text[-1])
        is_letter = last.rstrip(" ")[-1:].isalnum()  # BERT puts spaces around Chinese characters.
        return is_letter and self._normalized(text).endswith(last)

    def _words(self, text: str) -> list[str]:
        return [word for word, _ in self._splitter.pre_tokenize_str(self._normalized(text))]

    def _normalized(self, text: str) -> str:
        if self._normalizer is None:
            return text
        return str(self._normalizer.normalize_str(text))


def _steps(component: Any, key: str) -> list[dict[str, Any]]:  # noqa: ANN401 - no common base
    """What the library says of a normaliser or a splitter, those in sequences one by one."""
    if component is None:
        return []
    return _flat(json.loads(component.__getstate__()), key)


def _flat(state: dict[str, Any], key: str) -> list[dict[str, Any]]:
    if state["type"] != "Sequence":
        return [state]
    return [step for inner in state[key] for step in _flat(inner, key)]


def _is_local_normalizer(state: dict[str, Any]) -> bool:
    if state["type"] != "Replace":
        return state["type"] in _LOCAL_NORMALIZERS
    pattern = state["pattern"]
    has_no_letter = not any(map(str.isalnum, pattern.get("String", "") + state["content"]))
    return has_no_letter and pattern.get("Regex", " {2,}") == " {2,}"


def _is_local_splitter(state: dict[str, Any]) -> bool:
    if state["type"] == "Metaspace":
        return bool(state["split"])
    if state["type"] == "Split":
        is_plain = state["behavior"] == "Isolated" and not state["invert"]
        return is_plain and state["pattern"].get("Regex") in _LOCAL_PATTERNS
    return state["type"] in _LOCAL_SPLITTERS
