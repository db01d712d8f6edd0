"""Whether a GGUF file's vocabulary is of the kind that its header says; needs no llama.cpp.

Converters read the tokenizers of BERT-like models that have a SentencePiece or byte-level
vocabulary (CamemBERT, multilingual E5) as WordPiece: such a file loads, and most words of a text
are unknown to it.
"""

from __future__ import annotations

import tokenizers

from engine.errors import ExportError
from engine.export.gguf_file import GgufFile
from engine.export.golden_maker import golden_texts

_KINDS = {"bert": "WordPiece", "gpt2": "byte-level BPE", "t5": "SentencePiece's Unigram"}
_WORD_START = "\u2581"
_BYTE_SPACE = "\u0120"
_MARKS = {
    "bert": {_WORD_START * 2: "SentencePiece's", _WORD_START + _BYTE_SPACE: "byte-level BPE's"},
    "gpt2": {_WORD_START: "SentencePiece's"},
    "t5": {_BYTE_SPACE: "byte-level BPE's", "##": "WordPiece's"},
}
"""What many tokens begin with where a vocabulary of another kind was written as this one."""
_MOST_FOREIGN = 0.01
"""A vocabulary may have a few such tokens: U+2581 is a character, too."""
_MOST_UNKNOWN = 0.1
"""Share of unknown tokens in the golden texts that are ASCII. Of the vocabularies that are read
rightly the worst has 0.03 %, of those that are not the best has 48 %."""


def check_vocabulary(file: GgufFile, tokenizer: tokenizers.Tokenizer) -> None:
    """Refuse a vocabulary that is not what the header says.

    Raises:
        ExportError: says what gives it away.
    """
    kind = file.text("tokenizer.ggml.model")
    tokens: list[str] = file.value("tokenizer.ggml.tokens")
    for mark, other in _MARKS[kind].items():
        found = sum(token.startswith(mark) and token != mark for token in tokens)
        if found > _MOST_FOREIGN * len(tokens):
            raise _misread(
                file, f"{found} of its {len(tokens)} tokens begin with {mark!r}, as {other} do"
            )
    share = _unknown_share(tokenizer, file.optional("tokenizer.ggml.unknown_token_id"))
    if share > _MOST_UNKNOWN:
        raise _misread(file, f"{share:.0%} of the tokens of English texts are unknown to it")


def _unknown_share(tokenizer: tokenizers.Tokenizer, unknown: int | None) -> float:
    texts = [text for _, text in golden_texts() if text.isascii()]
    ids = [
        found
        for encoding in tokenizer.encode_batch(texts, add_special_tokens=False)
        for found in encoding.ids
    ]
    return ids.count(-1 if unknown is None else unknown) / len(ids) if ids else 1.0


def _misread(file: GgufFile, evidence: str) -> ExportError:
    kind = _KINDS[file.text("tokenizer.ggml.model")]
    return ExportError(
        f"{file.path} states a vocabulary of {kind}, but {evidence}. Whatever made the file read "
        "the model's tokenizer wrongly. Take a source that has its tokenizer.json."
    )
