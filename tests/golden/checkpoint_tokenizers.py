"""Small tokenizers of the three kinds that encoder checkpoints use, trained on the golden texts.

Each is built in the layout of the published checkpoints: the same normaliser, pre-tokeniser, ids of
special tokens and post-processor, only with a short vocabulary.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator

from charsmap import build_charsmap, compatibility_rules
from golden_file import load_texts
from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("RAYON_NUM_THREADS", "1")

# Scripts that no vocabulary has seen, so that the unknown token occurs.
UNSEEN = frozenset({"emoji-family", "emoji-alone", "hebrew-medium", "thai-medium", "korean-long"})
BERT_SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
ROBERTA_SPECIALS = ["<s>", "<pad>", "</s>", "<unk>"]
MASK = AddedToken("<mask>", lstrip=True, special=True)


def training_texts() -> Iterator[str]:
    """Yield the texts a vocabulary is trained on."""
    return (text for name, text in load_texts() if name not in UNSEEN)


def wordpiece(merged_size: int) -> Tokenizer:
    """Make an uncased BERT tokenizer: WordPiece, `[CLS] text [SEP]`, `[PAD]` = 0.

    `merged_size` is the size of the vocabulary before pieces inside words get their own entries.
    """
    tokenizer = Tokenizer(models.WordPiece())
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    vocab = {piece: i for i, piece in enumerate(BERT_SPECIALS + _pieces(tokenizer, merged_size))}
    tokenizer.model = models.WordPiece(vocab, unk_token="[UNK]", max_input_chars_per_word=100)
    tokenizer.add_special_tokens(BERT_SPECIALS)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[("[CLS]", vocab["[CLS]"]), ("[SEP]", vocab["[SEP]"])],
    )
    return tokenizer


def _pieces(tokenizer: Tokenizer, merged_size: int) -> list[str]:
    """Return the pieces of the training texts, those inside a word with `##`, frequent ones first.

    The library's own WordPiece trainer breaks ties by the order of a hash table, so two runs give
    two vocabularies. Its BPE trainer does not; the pieces are what BPE makes of each word.
    """
    words = [
        word
        for text in training_texts()
        for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(
            tokenizer.normalizer.normalize_str(text)
        )
    ]
    merging = Tokenizer(models.BPE())
    merging.train_from_iterator(
        words, trainers.BpeTrainer(vocab_size=merged_size, show_progress=False)
    )
    found: Counter[str] = Counter()
    for word in words:
        for tokens in (merging.encode(word).tokens, list(word)):
            found.update([tokens[0], *(f"##{token}" for token in tokens[1:])])
    return sorted(found, key=lambda piece: (-found[piece], piece))


def unigram(vocab_size: int) -> Tokenizer:
    """Train a tokenizer in XLM-R's layout: Unigram, `<s> text </s>`, `<mask>` with the last id."""
    texts = list(training_texts())
    tokenizer = Tokenizer(models.Unigram())
    charsmap = build_charsmap(compatibility_rules(text for _, text in load_texts()))
    tokenizer.normalizer = normalizers.Precompiled(charsmap)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]
    )
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=vocab_size - 1,
        special_tokens=ROBERTA_SPECIALS,
        unk_token="<unk>",
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    pieces = json.loads(tokenizer.to_str())["model"]["vocab"]
    learned = sorted(((piece, round(score, 2)) for piece, score in pieces[4:]), key=_by_score)
    vocab = [(piece, 0.0) for piece in ROBERTA_SPECIALS] + learned + [("<mask>", 0.0)]
    tokenizer.model = models.Unigram(vocab, unk_id=ROBERTA_SPECIALS.index("<unk>"))
    tokenizer.add_special_tokens([*ROBERTA_SPECIALS, MASK])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", 0), ("</s>", 2)],
    )
    return tokenizer


def _by_score(piece: tuple[str, float]) -> tuple[float, str]:
    return -piece[1], piece[0]


def byte_level_bpe(vocab_size: int) -> Tokenizer:
    """Train a tokenizer in RoBERTa's layout: byte-level BPE, `<s> text </s>`, `<mask>` last."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - 1,
        special_tokens=ROBERTA_SPECIALS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(training_texts(), trainer)
    trained = json.loads(tokenizer.to_str())["model"]
    vocab = {**trained["vocab"], "<mask>": len(trained["vocab"])}
    merges = [(left, right) for left, right in trained["merges"]]
    tokenizer.model = models.BPE(
        vocab, merges, continuing_subword_prefix="", end_of_word_suffix="", fuse_unk=False
    )
    tokenizer.add_special_tokens([*ROBERTA_SPECIALS, MASK])
    tokenizer.post_processor = processors.RobertaProcessing(
        ("</s>", 2), ("<s>", 0), trim_offsets=True, add_prefix_space=False
    )
    return tokenizer
