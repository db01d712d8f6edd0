"""The only file that names every stage: tokenizer -> scheduler -> backend -> pooling -> finish."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self

import numpy as np

from engine.backends import choose, open_backend
from engine.backends.base import Backend
from engine.config import EngineConfig
from engine.errors import (
    CertificateError,
    ConfigurationError,
    DeadlineExceededError,
    DimensionsError,
    IntegrityError,
    ShuttingDownError,
)
from engine.golden import GoldenSet, closeness, minimum_cosine
from engine.model import FileRole, Manifest, ModelBundle
from engine.pooling import pool
from engine.postprocess import check_finite, finish
from engine.scheduler import (
    BatchLimits,
    InlineScheduler,
    JobOutput,
    QueueState,
    Scheduler,
    ServerScheduler,
)
from engine.tokenizer import Tokenizer
from engine.types import (
    Batch,
    BatchReport,
    EmbedResult,
    Encoding,
    FloatArray,
    Inputs,
    Timings,
    Truncate,
    Usage,
)

MAX_PADDING = 0.1
_GOLDEN_TEXTS_AT_START = 5
_SMALL_INPUTS = 64
_SMALL_CHARACTERS = 4096


class Engine:
    """A model that is ready to embed.

    Thread-safe. Use it as a context manager, or call `close`.
    """

    def __init__(
        self,
        manifest: Manifest,
        tokenizer: Tokenizer,
        backend: Backend,
        config: EngineConfig,
        *,
        inline: bool = False,
    ) -> None:
        self.manifest = manifest
        self.tokenizer = tokenizer
        self.backend = backend
        self.config = config
        self.max_input_tokens = tokenizer.max_input_tokens
        self.reason = "the backend was given"
        """Why this backend was chosen, in one sentence for the log."""
        self.on_batch: Callable[[BatchReport], None] | None = None
        """Called after every batch, on the thread that computed it. It must not raise."""
        self._dimensions = (manifest.dimensions, *manifest.matryoshka_dimensions)
        self._tokenize_threads = ThreadPoolExecutor(1, thread_name_prefix="embellama-tokenize")
        self._scheduler = self._make_scheduler(inline=inline)

    @classmethod
    def open(
        cls,
        directory: Path | str,
        config: EngineConfig | None = None,
        *,
        inline: bool = False,
    ) -> Self:
        """Load a bundle and check it on a few of its golden texts.

        Args:
            directory: the bundle.
            config: options; the defaults if None.
            inline: compute in the caller's thread, for AWS Lambda.

        Raises:
            BundleError: the bundle can't be used here.
            CertificateError: it loads, but its vectors are not the certified ones.
            ConfigurationError: an option can't be honoured.
        """
        config = config or EngineConfig()
        bundle = ModelBundle.open(directory)
        tokenizer = _open_tokenizer(bundle, config)
        choice = choose(bundle, config)
        backend = open_backend(bundle, config, choice, max_input_tokens=tokenizer.max_input_tokens)
        engine = cls(bundle.manifest, tokenizer, backend, config, inline=inline)
        engine.reason = choice.reason
        try:
            engine.check_golden(bundle)
        except BaseException:
            engine.close()
            raise
        return engine

    @property
    def space(self) -> str:
        """Fingerprint of the vector space."""
        return self.manifest.fingerprint

    def embed(
        self,
        inputs: Inputs,
        *,
        dimensions: int | None = None,
        truncate: Truncate = Truncate.NONE,
        prompt_name: str | None = None,
    ) -> EmbedResult:
        """Embed one or several texts, or lists of token ids. Blocks until done.

        Args:
            inputs: what to embed; N inputs.
            dimensions: wanted size D'; the full size if None.
            truncate: what happens to an input with more than `max_input_tokens`.
            prompt_name: one of the bundle's prompts, put in front of every input.

        Raises:
            InvalidInputError: the request is wrong; the error names the field.
            UnavailableError: the queue is full or the engine is closed.
            BackendError: the runtime failed.
        """
        size = self._checked_dimensions(dimensions)
        started = time.perf_counter()
        encodings = self.tokenizer.encode(inputs, truncate=truncate, prompt_name=prompt_name)
        tokenized = time.perf_counter()
        unique, places = _deduplicate(encodings)
        output = self._scheduler.submit(unique).result()
        return self._result(encodings, places, output, size, tokenized - started)

    async def embed_async(
        self,
        inputs: Inputs,
        *,
        dimensions: int | None = None,
        truncate: Truncate = Truncate.NONE,
        prompt_name: str | None = None,
        deadline_seconds: float | None = None,
        admit: Callable[[int], Awaitable[None]] | None = None,
    ) -> EmbedResult:
        """Same as `embed`, without blocking the event loop.

        Cancelling the caller, or passing the deadline, drops what has not run yet. `admit` is
        awaited with the number of tokens before any of them is queued; it may raise to refuse.

        Raises:
            DeadlineExceededError: not done within `deadline_seconds`; besides those of `embed`.
        """
        size = self._checked_dimensions(dimensions)
        try:
            async with asyncio.timeout(deadline_seconds) as deadline:
                started = time.perf_counter()
                encodings = await self.tokenize_async(
                    inputs, truncate=truncate, prompt_name=prompt_name
                )
                tokenized = time.perf_counter()
                if admit is not None:
                    await admit(sum(encoding.tokens for encoding in encodings))
                unique, places = _deduplicate(encodings)
                output = await asyncio.wrap_future(self._scheduler.submit(unique))
        except TimeoutError as exc:
            if not deadline.expired():
                raise
            raise DeadlineExceededError(
                f"The request was not done within {deadline_seconds} seconds; "
                "what had not run was dropped."
            ) from exc
        return self._result(encodings, places, output, size, tokenized - started)

    async def tokenize_async(
        self,
        inputs: Inputs,
        *,
        truncate: Truncate = Truncate.NONE,
        prompt_name: str | None = None,
    ) -> list[Encoding]:
        """What `embed` would compute: the ids, with prompts and special tokens.

        Long inputs are tokenized on a thread, so that the event loop is not blocked.

        Raises:
            InvalidInputError: the request is wrong; the error names the field.
            ShuttingDownError: the engine was closed.
        """

        def encode() -> list[Encoding]:
            return self.tokenizer.encode(inputs, truncate=truncate, prompt_name=prompt_name)

        if _is_small(inputs):
            return encode()
        try:
            encodings = self._tokenize_threads.submit(encode)
        except RuntimeError as exc:  # the threads were shut down
            raise ShuttingDownError(
                "The server is shutting down.", retry_after_seconds=1.0
            ) from exc
        return await asyncio.wrap_future(encodings)

    def queue_state(self) -> QueueState:
        """What waits to be computed, and what runs."""
        return self._scheduler.state()

    def close(self) -> None:
        """Finish the batches that run, refuse what waits, free the model."""
        self._scheduler.close()
        self._tokenize_threads.shutdown()
        self.backend.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def check_golden(self, bundle: ModelBundle) -> None:
        """Embed a few golden texts and compare ids and vectors with the bundle's.

        Raises:
            CertificateError: ids differ, or a cosine is below the tolerance of the precision.
        """
        entry = bundle.manifest.file(FileRole.GOLDEN)
        if entry is None:
            raise CertificateError("The bundle has no golden texts, so it can't be checked.")
        bundle.verify_hashes([entry])
        golden = GoldenSet.load(bundle.path(entry)).shortest(_GOLDEN_TEXTS_AT_START)
        limit = min(self.max_input_tokens, self.config.max_request_tokens)
        usable = [text for text in golden if text.input_ids.size <= limit]
        if not usable:
            return
        encodings = [self.tokenizer.encode(text.text, truncate=Truncate.END)[0] for text in usable]
        for text, encoding in zip(usable, encodings, strict=True):
            if not np.array_equal(encoding.input_ids, text.input_ids):
                raise CertificateError(f"The tokenizer gives other ids for {text.name!r}.")
        vectors = self._scheduler.submit(encodings).result().vectors
        expected = np.stack([text.embedding for text in usable])
        if expected.shape != vectors.shape:
            raise CertificateError(
                f"The vectors computed here have {vectors.shape[1]} dimensions, "
                f"the certified ones {expected.shape[1]}."
            )
        found = closeness(expected, vectors).min_cosine
        wanted = minimum_cosine(self.backend.precision)
        if not found >= wanted:
            raise CertificateError(
                f"The vectors computed here have a cosine of {found:.6f} to the certified ones; "
                f"{self.backend.precision} must reach {wanted}. Try another engine or precision, "
                "or make the bundle anew."
            )

    def _checked_dimensions(self, dimensions: int | None) -> int:
        if dimensions is None:
            return self.manifest.dimensions
        if dimensions not in self._dimensions:
            raise DimensionsError(dimensions=dimensions, allowed=sorted(set(self._dimensions)))
        return dimensions

    def _compute(self, batch: Batch) -> FloatArray:
        """Run one batch: pooled, finite vectors (B, D)."""
        started = time.perf_counter()
        try:
            vectors = pool(self.backend.run(batch), self.manifest.pooling)
            check_finite(vectors)
            return vectors
        finally:
            if self.on_batch is not None:
                seconds = time.perf_counter() - started
                self.on_batch(BatchReport(len(batch.encodings), batch.tokens, seconds))

    def _result(
        self,
        encodings: Sequence[Encoding],
        places: Sequence[int],
        output: JobOutput,
        dimensions: int,
        tokenize_seconds: float,
    ) -> EmbedResult:
        vectors = finish(output.vectors, dimensions=dimensions, normalize=self.manifest.normalize)
        return EmbedResult(
            vectors=vectors if len(vectors) == len(places) else vectors[list(places)],
            usage=Usage(sum(encoding.tokens for encoding in encodings)),
            truncated=tuple(i for i, encoding in enumerate(encodings) if encoding.truncated),
            timings=Timings(tokenize_seconds, output.queue_seconds, output.inference_seconds),
        )

    def _make_scheduler(self, *, inline: bool) -> Scheduler:
        limits = BatchLimits(
            max_batch_tokens=self.config.max_batch_tokens,
            max_batch_sequences=self.backend.max_batch_sequences,
            max_padding=MAX_PADDING,
        )
        if inline:
            return InlineScheduler(
                self._compute, dimensions=self.manifest.dimensions, limits=limits
            )
        return ServerScheduler(
            self._compute,
            dimensions=self.manifest.dimensions,
            limits=limits,
            concurrency=self.backend.concurrency,
            max_queue_tokens=self.config.max_queue_tokens,
        )


def _open_tokenizer(bundle: ModelBundle, config: EngineConfig) -> Tokenizer:
    manifest = bundle.manifest
    limit = manifest.max_input_tokens
    if config.context_size is not None:
        if config.context_size > limit:
            raise ConfigurationError(
                f"context_size is {config.context_size}, but {manifest.name} takes at most {limit}."
            )
        limit = config.context_size
    entry = manifest.file(FileRole.TOKENIZER)
    if entry is None:
        raise IntegrityError(f"{bundle.directory} lists no tokenizer in its manifest.")
    bundle.verify_hashes([entry])
    return Tokenizer.from_file(
        bundle.path(entry),
        vocabulary_size=manifest.vocabulary_size,
        max_input_tokens=limit,
        max_client_batch_size=config.max_client_batch_size,
        max_request_tokens=config.max_request_tokens,
        prompts=manifest.prompts,
        default_prompt_name=manifest.default_prompt_name,
    )


def _deduplicate(encodings: Sequence[Encoding]) -> tuple[list[Encoding], list[int]]:
    """Equal inputs are computed once: the distinct ones, and which of them each input is."""
    unique: list[Encoding] = []
    index_of: dict[bytes, int] = {}
    places: list[int] = []
    for encoding in encodings:
        key = encoding.input_ids.tobytes()
        place = index_of.setdefault(key, len(unique))
        if place == len(unique):
            unique.append(encoding)
        places.append(place)
    return unique, places


def _is_small(inputs: object) -> bool:
    """Whether tokenizing takes so little time that a thread would cost more."""
    if isinstance(inputs, str) or not isinstance(inputs, Sequence):
        return _size(inputs) <= _SMALL_CHARACTERS
    return len(inputs) <= _SMALL_INPUTS and sum(map(_size, inputs)) <= _SMALL_CHARACTERS


def _size(item: object) -> int:
    if isinstance(item, np.ndarray):
        return item.size
    return len(item) if isinstance(item, Sequence) else 1
