"""A small engine without a model, for the tests of whatever stands on an engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import tokenizers
from tokenizers.models import WordLevel
from tokenizers.normalizers import Lowercase
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing

from engine.backends.fake import FakeBackend
from engine.config import EngineConfig
from engine.engine import Engine
from engine.model import Manifest
from engine.tokenizer import Tokenizer
from engine.types import Batch, Pooling

_WORDS = ("the", "a", "cat", "dog", "sat", "on", "mat", "red", "blue", "house", "tree", "runs")
_UNKNOWN = "[UNK]"
SPECIAL_IDS = {"[PAD]": 0, _UNKNOWN: 1, "[CLS]": 2, "[SEP]": 3}


def fake_tokenizer() -> tokenizers.Tokenizer:
    """One token a word, [CLS] before and [SEP] after; words that it does not know are [UNK]."""
    vocabulary = SPECIAL_IDS | {word: index + 4 for index, word in enumerate(_WORDS)}
    tokenizer = tokenizers.Tokenizer(WordLevel(vocabulary, unk_token=_UNKNOWN))
    tokenizer.normalizer = Lowercase()
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return tokenizer


def fake_engine(
    *,
    dimensions: int = 8,
    max_input_tokens: int = 32,
    prompts: Mapping[str, str] | None = None,
    matryoshka_dimensions: tuple[int, ...] = (),
    before_run: Callable[[Batch], None] | None = None,
    config: EngineConfig | None = None,
    name: str = "fake-model",
    inline: bool = False,
    backend: FakeBackend | None = None,
) -> Engine:
    """An engine over the fake backend. `before_run` may block or raise; see `FakeBackend`.

    `backend` takes its place: one made elsewhere, of `dimensions` dimensions.
    """
    config = config or EngineConfig()
    tokenizer = fake_tokenizer()
    manifest = Manifest(
        schema=1,
        name=name,
        architecture="fake",
        pooling=Pooling.MEAN,
        normalize=True,
        max_input_tokens=max_input_tokens,
        vocabulary_size=tokenizer.get_vocab_size(),
        dimensions=dimensions,
        matryoshka_dimensions=matryoshka_dimensions,
        prompts=dict(prompts or {}),
        files=(),
        fingerprint="f" * 32,
    )
    return Engine(
        manifest,
        Tokenizer(
            tokenizer,
            vocabulary_size=manifest.vocabulary_size,
            max_input_tokens=max_input_tokens,
            max_client_batch_size=config.max_client_batch_size,
            max_request_tokens=config.max_request_tokens,
            prompts=manifest.prompts,
            token_ids=config.token_ids,
        ),
        backend or FakeBackend(dimensions, before_run=before_run),
        config,
        inline=inline,
    )
