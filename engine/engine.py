"""The only file that names every stage: tokenizer -> scheduler -> backend -> pooling -> finish."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from engine.backends import check_installed, choose, open_backend, weights_of
from engine.backends.base import Backend
from engine.breaker import BreakerState
from engine.certified import not_measured
from engine.config import EngineConfig
from engine.errors import (
    ConfigurationError,
    DeadlineExceededError,
    DimensionsError,
    FailedInputError,
    IntegrityError,
    UnavailableError,
)
from engine.jobs import JobOutput
from engine.memory import return_freed_memory
from engine.model import FileRole, Manifest, ModelBundle
from engine.postprocess import cut
from engine.runner import Runner
from engine.scheduler import QueueState
from engine.self_check import check_certified, check_golden, check_vocabulary
from engine.tokenize_line import TokenizeLine
from engine.tokenizer import Tokenizer
from engine.types import (
    BatchReport,
    EmbedResult,
    Encoding,
    Inputs,
    Timings,
    Truncate,
    Usage,
)
from engine.weights_watch import WeightsWatch

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
        weights: WeightsWatch | None = None,
    ) -> None:
        self.manifest = manifest
        self.tokenizer = tokenizer
        self.backend = backend
        self.config = config
        self.max_input_tokens = tokenizer.max_input_tokens
        self.reason = "the backend was given"
        """Why this backend was chosen, in one sentence for the log."""
        self._dimensions = manifest.allowed_dimensions
        self._tokenize_line = TokenizeLine(config.max_queue_tokens)
        self._weights = weights
        self._runner = Runner(backend, manifest, config, tokenizer.shortest(), weights)
        self._scheduler = self._runner.make_scheduler(config, inline=inline)

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
        check_installed(config.engine)
        bundle = ModelBundle.open(directory)
        tokenizer = _open_tokenizer(bundle, config)
        choice = choose(bundle, config)
        measured = check_certified(bundle, choice.file, choice.backend.value)
        weights = WeightsWatch([bundle.path(entry) for entry in weights_of(bundle, choice)])
        try:
            backend = open_backend(
                bundle, config, choice, max_input_tokens=tokenizer.max_input_tokens
            )
        except BaseException:
            weights.close()
            raise
        engine = cls(bundle.manifest, tokenizer, backend, config, inline=inline, weights=weights)
        engine.reason = choice.reason
        if measured is None:
            engine.reason += f"; {not_measured(choice.file, choice.backend.value)}"
        try:
            check_golden(bundle, tokenizer, engine._scheduler, backend.precision)
            check_vocabulary(bundle.manifest, tokenizer, backend)
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
        truncate: Truncate | None = None,
        prompt_name: str | None = None,
    ) -> EmbedResult:
        """Embed one or several texts, or lists of token ids. Blocks until done.

        Args:
            inputs: what to embed; N inputs.
            dimensions: wanted size D'; the full size if None.
            truncate: what happens to an input with more than `max_input_tokens`; what the
                configuration says if None.
            prompt_name: one of the bundle's prompts, put in front of every input.

        Raises:
            InvalidInputError: the request is wrong; the error names the field.
            UnavailableError: the queue is full or the engine is closed.
            BackendError: the runtime failed.
        """
        size = self._checked_dimensions(dimensions)
        started = time.perf_counter()
        encodings = self.tokenizer.encode(
            inputs, truncate=self._truncate(truncate), prompt_name=prompt_name
        )
        tokenized = time.perf_counter()
        unique, places = _deduplicate(encodings)
        with _naming_inputs(places, inputs):
            output = self._scheduler.submit(unique).result()
        return self._result(encodings, places, output, size, tokenized - started)

    async def embed_async(
        self,
        inputs: Inputs,
        *,
        dimensions: int | None = None,
        truncate: Truncate | None = None,
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
        self._runner.check_available()
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
                left = None if deadline_seconds is None else deadline_seconds - tokenized + started
                with _naming_inputs(places, inputs):
                    output = await asyncio.wrap_future(
                        self._scheduler.submit(unique, deadline_seconds=left)
                    )
        except TimeoutError as exc:
            if not deadline.expired():
                raise
            raise DeadlineExceededError(
                "The request was not done before its deadline; what had not run was dropped."
            ) from exc
        return self._result(encodings, places, output, size, tokenized - started)

    async def tokenize_async(
        self,
        inputs: Inputs,
        *,
        truncate: Truncate | None = None,
        prompt_name: str | None = None,
    ) -> list[Encoding]:
        """What `embed` would compute: the ids, with prompts and special tokens.

        Long inputs are tokenized on a thread, so that the event loop is not blocked. Cancelling
        the caller drops what has not been tokenized yet.

        Raises:
            InvalidInputError: the request is wrong; the error names the field.
            OverloadedError: too much text waits to be tokenized.
            ShuttingDownError: the engine was closed.
        """
        truncate = self._truncate(truncate)
        if self._is_small(inputs):
            return self.tokenizer.encode(inputs, truncate=truncate, prompt_name=prompt_name)
        steps = self.tokenizer.encode_in_steps(inputs, truncate=truncate, prompt_name=prompt_name)
        characters = self.tokenizer.expected_characters(inputs, truncate)
        # No name for the future: its error's traceback would have it, and the error keep itself.
        return await asyncio.wrap_future(self._tokenize_line.submit(steps, characters=characters))

    def subscribe(self, observe: Callable[[BatchReport], None]) -> None:
        """Call this after every batch, on the thread that computed it. It must not raise."""
        self._runner.subscribe(observe)

    @property
    def breaker_state(self) -> BreakerState:
        """Whether the backend is used, given a pause after failures, or tried again."""
        return self._runner.breaker_state

    def check_available(self) -> None:
        """Return if the backend is sound; where its pause is over, start a run that tries it.

        Raises:
            NotReadyError: a run hangs, or it failed several times in a row and none succeeded
                since.
        """
        obstacle = self._runner.obstacle()
        if obstacle is None:
            return
        if self._runner.breaker_state is BreakerState.HALF_OPEN and not self._runner.hung_runs:
            self._try_backend()
        raise obstacle

    @property
    def trouble(self) -> str | None:
        """Why the backend is not sound now, in a sentence for clients; None if it is."""
        obstacle = self._runner.obstacle()
        return None if obstacle is None else obstacle.message

    @property
    def hung_runs(self) -> int:
        """How many runs of the backend take longer than `hung_run_seconds` allows."""
        return self._runner.hung_runs

    @property
    def is_lost(self) -> bool:
        """Whether all that computes has hung for so long that only a new process helps."""
        return self._runner.is_lost

    def queue_state(self) -> QueueState:
        """What waits to be computed, and what runs."""
        return self._scheduler.state()

    def close(self) -> None:
        """Finish the batches that run, refuse what waits, free the model."""
        self._scheduler.close()
        self._tokenize_line.close()
        self.backend.close()
        if self._weights is not None:
            self._weights.close()
        return_freed_memory()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _try_backend(self) -> None:
        """Queue one token: computed, it closes the breaker; failed, it opens it again."""
        with suppress(UnavailableError):
            self._scheduler.submit([self.tokenizer.shortest()])

    def _is_small(self, inputs: object) -> bool:
        """Whether tokenizing takes so little time that a thread would cost more."""
        count = 1 if isinstance(inputs, str) or not isinstance(inputs, Sequence) else len(inputs)
        return (
            count <= _SMALL_INPUTS and self.tokenizer.most_characters(inputs) <= _SMALL_CHARACTERS
        )

    def _truncate(self, wanted: Truncate | None) -> Truncate:
        return self.config.truncate if wanted is None else Truncate(wanted)

    def _checked_dimensions(self, dimensions: int | None) -> int:
        if dimensions is None:
            return self.manifest.output_dimensions
        if dimensions not in self._dimensions:
            raise DimensionsError(dimensions=dimensions, allowed=sorted(set(self._dimensions)))
        return dimensions

    def _result(
        self,
        encodings: Sequence[Encoding],
        places: Sequence[int],
        output: JobOutput,
        dimensions: int,
        tokenize_seconds: float,
    ) -> EmbedResult:
        vectors = cut(output.vectors, dimensions=dimensions)
        return EmbedResult(
            vectors=vectors if len(vectors) == len(places) else vectors[list(places)],
            usage=Usage(sum(encoding.tokens for encoding in encodings)),
            truncated=tuple(i for i, encoding in enumerate(encodings) if encoding.truncated),
            timings=Timings(tokenize_seconds, output.queue_seconds, output.inference_seconds),
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
        token_ids=config.token_ids,
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


@contextmanager
def _naming_inputs(places: Sequence[int], inputs: object) -> Iterator[None]:
    """Tell an error at one of the distinct inputs which input of the request that was."""
    try:
        yield
    except FailedInputError as exc:
        index = places.index(exc.index)
        single = len(places) == 1 and not (isinstance(inputs, Sequence) and len(inputs) == 1)
        exc.param = "input" if single else f"input[{index}]"
        raise
