"""Everything that the engine can refuse or fail at, as one tree.

    EmbellamaError
    ├── InvalidInputError            the request is wrong; names the field
    │   ├── EmptyInputError
    │   ├── MalformedTextError
    │   ├── InputTooLongError
    │   ├── UnbrokenTextError
    │   ├── TokenIdError
    │   ├── ForeignTokenIdsError
    │   ├── TooManyInputsError
    │   ├── TooManyTokensError
    │   ├── DimensionsError
    │   ├── UnknownPromptError
    │   └── InputTypeError
    ├── SpaceMismatchError           the caller wants vectors of another space
    ├── UnavailableError             not now; has retry_after_seconds
    │   ├── NotReadyError
    │   ├── ShuttingDownError
    │   └── OverloadedError
    ├── DeadlineExceededError
    │   └── DeadlineTooNearError
    ├── BackendError                 the runtime failed
    │   ├── NonFiniteError
    │   └── FailedInputError         at one input, also when it was computed alone
    ├── ConfigurationError           an option can't be honoured on this machine
    └── BundleError                  a model can't be used
        ├── SourceError              its files can't be had
        ├── ManifestError
        ├── IntegrityError           a file is missing, short or altered
        ├── CertificateError         vectors differ from the certified ones
        └── ExportError              a bundle can't be made
            └── UnsupportedArchitectureError

Each class has a stable `code` (or None, where the kind of error says enough) and keeps its
values as attributes. HTTP statuses are the concern of `functions.errors`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar


class EmbellamaError(Exception):
    """Root of all errors that this project raises on purpose."""

    code: ClassVar[str | None] = None

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class InvalidInputError(EmbellamaError):
    """The request is at fault. `param` names the field, such as `input[3]`."""

    def __init__(self, message: str, *, param: str | None) -> None:
        super().__init__(message)
        self.param = param


class EmptyInputError(InvalidInputError):
    """An input has no text and no token ids, or there is no input at all."""


class MalformedTextError(InvalidInputError):
    """A text can't be encoded as UTF-8, for example because of a lone surrogate."""


class InputTooLongError(InvalidInputError):
    """One input has more tokens than the model takes, and truncation was not asked for.

    Where not `counted`, a very long text was not read to its end: it has at least `tokens`.
    """

    code = "context_length_exceeded"

    def __init__(self, *, param: str, tokens: int, limit: int, counted: bool = True) -> None:
        super().__init__(
            f"{param} has {'' if counted else 'at least '}{tokens} tokens, but this model takes "
            f"at most {limit}. Shorten it, or send truncate='end' or 'start'; the server's option "
            "--truncate sets a default.",
            param=param,
        )
        self.tokens = tokens
        self.limit = limit
        self.counted = counted


class UnbrokenTextError(InvalidInputError):
    """A text has a stretch that can only be tokenized as a whole, and it is too long for that."""

    code = "unbroken_text"

    def __init__(self, *, param: str, limit: int) -> None:
        super().__init__(
            f"{param} has a stretch of more than {limit} characters in which no word follows "
            "another after a space or another mark that ends a word. Shorten it, or break it with "
            "spaces.",
            param=param,
        )
        self.limit = limit


_TEXT_CURE = "send text instead (in LangChain: check_embedding_ctx_length=False)"
_CURES = (
    "If they are OpenAI's, as LangChain sends them by default, start the server with --token-ids "
    f"cl100k_base, or {_TEXT_CURE}."
)


class TokenIdError(InvalidInputError):
    """A token id lies outside of the vocabulary: the model's, or that of `encoding`."""

    def __init__(
        self, *, param: str, token_id: int, vocabulary_size: int, encoding: str | None = None
    ) -> None:
        reason = f"but this model's ids lie in 0 <= id < {vocabulary_size}. {_CURES}"
        if encoding is not None:
            reason = (
                f"which {encoding} (--token-ids) does not have; its largest is "
                f"{vocabulary_size - 1}. Send ids of that encoding, or {_TEXT_CURE}."
            )
        super().__init__(f"{param} has the token id {token_id}, {reason}", param=param)
        self.token_id = token_id
        self.vocabulary_size = vocabulary_size
        self.encoding = encoding


class ForeignTokenIdsError(InvalidInputError):
    """Token ids are not marked as the model's own, or none are taken at all.

    Ids of another tokenizer would get a vector, too, but a meaningless one.
    """

    code = "foreign_token_ids"

    def __init__(self, *, param: str, wanted: str | None) -> None:
        """`wanted` says what marks the model's own ids; None where ids are refused."""
        if wanted is None:
            message = f"{param} has token ids, which this server refuses. {_CURES}"
        else:
            message = (
                f"{param} has token ids that are not marked as this model's own, which {wanted}, "
                f"as those of /v1/tokenize do. {_CURES}"
            )
        super().__init__(message, param=param)
        self.wanted = wanted


class TooManyInputsError(InvalidInputError):
    """One request has more inputs than `max_client_batch_size`.

    Where not `counted`, the rest was not looked at: there are at least so many `inputs`.
    """

    def __init__(self, *, inputs: int, limit: int, counted: bool = True) -> None:
        super().__init__(
            f"input has {'' if counted else 'at least '}{inputs} items, but a request takes at "
            f"most {limit}. Split it.",
            param="input",
        )
        self.inputs = inputs
        self.limit = limit
        self.counted = counted


class TooManyTokensError(InvalidInputError):
    """All inputs of one request have more tokens than `max_request_tokens`."""

    def __init__(self, *, tokens: int, limit: int) -> None:
        super().__init__(
            f"input has {tokens} tokens in all, but a request takes at most {limit}. Split it.",
            param="input",
        )
        self.tokens = tokens
        self.limit = limit


class DimensionsError(InvalidInputError):
    """The model can't be cut to the wanted number of dimensions."""

    def __init__(self, *, dimensions: int, allowed: Sequence[int]) -> None:
        super().__init__(
            f"dimensions={dimensions} is not offered by this model. "
            f"It offers: {', '.join(map(str, allowed))}.",
            param="dimensions",
        )
        self.dimensions = dimensions
        self.allowed = tuple(allowed)


class UnknownPromptError(InvalidInputError):
    """The bundle has no prompt of this name."""

    def __init__(self, *, name: str, known: Sequence[str]) -> None:
        offered = f"It has: {', '.join(known)}." if known else "It has none."
        super().__init__(f"This model has no prompt named {name!r}. {offered}", param="prompt_name")
        self.name = name
        self.known = tuple(known)


class InputTypeError(InvalidInputError):
    """A type of inputs is unknown, or the model has prompts but none for it."""

    def __init__(
        self, *, input_type: str, known: Sequence[str], prompts: Sequence[str] = ()
    ) -> None:
        if prompts:
            message = (
                f"This model has no prompt for the input_type {input_type!r}. It has the prompts "
                f"{', '.join(prompts)}: send one of them as prompt_name."
            )
        else:
            message = (
                f"The input_type {input_type!r} is not known. Known: {', '.join(known)}, and the "
                "words of other APIs for these."
            )
        super().__init__(message, param="input_type")
        self.input_type = input_type
        self.known = tuple(known)
        self.prompts = tuple(prompts)


class SpaceMismatchError(EmbellamaError):
    """The caller requires the vectors of another space than the one served."""

    code = "space_mismatch"

    def __init__(self, *, required: str, served: str) -> None:
        super().__init__(
            f"The request requires the vector space {required!r}, but this model serves "
            f"{served!r}. Vectors of different spaces can't be compared."
        )
        self.required = required
        self.served = served


class UnavailableError(EmbellamaError):
    """The work can't be taken now; trying again after `retry_after_seconds` may help."""

    def __init__(self, message: str, *, retry_after_seconds: float) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class NotReadyError(UnavailableError):
    """The model is loading, or its check at start failed."""

    code = "not_ready"


class ShuttingDownError(UnavailableError):
    """The engine takes no more work because it is being closed."""

    code = "shutting_down"


class OverloadedError(UnavailableError):
    """The queue is full."""

    code = "overloaded"


class DeadlineExceededError(EmbellamaError):
    """The deadline passed before the work was done; what had not run was dropped."""

    code = "deadline_exceeded"


class DeadlineTooNearError(DeadlineExceededError):
    """The request can't be done in the time that is left; said before anything is computed."""

    def __init__(self, *, needed_seconds: float, left_seconds: float, largest_batch: int) -> None:
        super().__init__(
            f"The request needs about {needed_seconds:.1f} s, but {left_seconds:.1f} s are left. "
            f"Nothing was computed. About {largest_batch} of its inputs fit: send fewer at a time."
        )
        self.needed_seconds = needed_seconds
        self.left_seconds = left_seconds
        self.largest_batch = largest_batch


class BackendError(EmbellamaError):
    """The runtime below failed. The message is for the log, not for clients."""

    code = "internal_error"


class NonFiniteError(BackendError):
    """The runtime returned NaN, infinity or a null vector for the sequences at `indices`."""

    def __init__(self, *, indices: Sequence[int]) -> None:
        super().__init__(f"No finite vector for the sequences {list(indices)}.")
        self.indices = tuple(indices)


class FailedInputError(BackendError):
    """One input can't be computed, not even alone; its neighbours were.

    `index` is its place in the request. `param` is that of the field, once the engine knows it.
    """

    def __init__(self, *, index: int, cause: BackendError) -> None:
        super().__init__(f"The input at index {index} failed: {cause.message}")
        self.index = index
        self.param: str | None = None
        self.__cause__ = cause


class ConfigurationError(EmbellamaError):
    """An option asks for something that this machine or this model does not have."""


class BundleError(EmbellamaError):
    """A model bundle can't be used."""


class SourceError(BundleError):
    """The files of a model can't be found or fetched."""


class ManifestError(BundleError):
    """The manifest is missing, is not valid, or has a schema that this version can't read."""


class IntegrityError(BundleError):
    """A file of the bundle is missing, or has another size or hash than the manifest says."""


class CertificateError(BundleError):
    """Vectors computed here differ from the certified ones by more than the tolerance."""


class ExportError(BundleError):
    """A bundle can't be made from the given source."""


class UnsupportedArchitectureError(ExportError):
    """No exporter knows this architecture."""

    def __init__(self, *, architecture: str, supported: Sequence[str], advice: str = "") -> None:
        super().__init__(
            f"The architecture {architecture!r} is not supported. "
            f"Supported: {', '.join(supported)}.{' ' + advice if advice else ''}"
        )
        self.architecture = architecture
        self.supported = tuple(supported)
