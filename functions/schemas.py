"""The shape of a request. What an input may hold is the tokenizer's to say, for all callers."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, partial
from typing import Annotated, Any, Self, cast

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationError,
    WithJsonSchema,
)

from engine.config import EngineConfig
from engine.errors import InvalidInputError
from engine.prompts import KINDS, prompt_name_for
from engine.types import Inputs, Truncate
from functions.body_limits import BodyLimits
from functions.encoding import EncodingFormat
from functions.equivalents import unknown_field
from functions.errors import shorten
from functions.json_faults import Body
from functions.json_reader import JsonShape, NestedValueError, read_object
from functions.slices import Slices, run, run_in_turns

_TOKEN_IDS = {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 1}
_INPUT_SCHEMA: dict[str, Any] = {
    "description": "One text, up to 2048 texts, the token ids of one input, "
    "or up to 2048 lists of token ids. Ids are the model's own with its special tokens, as "
    "/v1/tokenize returns them, unless the server was told otherwise (`--token-ids`).",
    "oneOf": [
        {"type": "string", "minLength": 1},
        {
            "type": "array",
            "items": {"type": "string", "minLength": 1},
            "minItems": 1,
            "maxItems": 2048,
        },
        _TOKEN_IDS,
        {"type": "array", "items": _TOKEN_IDS, "minItems": 1, "maxItems": 2048},
    ],
}
_TRUNCATE_SCHEMA: dict[str, Any] = {
    "description": "What happens to an input with too many tokens: refuse it (none or false), drop "
    "its end (end or true) or its start (start); in any case of letters. Left out, it is what the "
    "server's --truncate says, none by default. x-embellama-truncated lists the inputs that were "
    "cut.",
    "oneOf": [
        {"type": "string", "enum": ["none", "end", "start", "true", "false"]},
        {"type": "boolean"},
        {"type": "null"},
    ],
}
_INPUT_TYPE_SCHEMA: dict[str, Any] = {
    "description": "What the inputs are: the model's prompt for that kind is put in front of every "
    "input. Without effect where the model has no prompts, or prompt_name is given.",
    "oneOf": [
        {"type": "string", "enum": [word for words in KINDS.values() for word in words]},
        {"type": "null"},
    ],
}
_FORMAT_SCHEMA: dict[str, Any] = {
    "oneOf": [{"type": "string", "enum": ["float", "base64"]}, {"type": "null"}],
}
_TRUNCATE_CHOICES = {
    **{choice.value: choice for choice in Truncate},
    "true": Truncate.END,
    "false": Truncate.NONE,
}
"""By their words in lower case; booleans count as theirs."""
_LONGEST_TEXT = 65_536
"""Characters of a text that is no input: of one of many MB every step would take long."""
_SENTENCES = {
    "missing": "{0} is required.",
}
"""Words for what pydantic finds, by its error types; other errors bring their own words."""


def _check_input(value: object) -> object:
    if isinstance(value, (str, list)):
        return value
    raise ValueError(
        "must be a string, a list of strings, a list of token ids or a list of lists of token ids"
    )


def _read_truncate(value: object) -> Truncate | None:
    if value is None:
        return None
    if isinstance(value, bool | str):
        choice = _TRUNCATE_CHOICES.get(str(value).lower())
        if choice is not None:
            return choice
    raise ValueError("must be none, end, start or true")


def _read_format(value: object) -> object:
    return "float" if value is None else value


class InputsRequest(BaseModel):
    """What every request with inputs has. Null means the same as leaving an optional field out."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    model: str = Field(description="A served name or alias; see GET /v1/models.")
    input: Annotated[Any, PlainValidator(_check_input), WithJsonSchema(_INPUT_SCHEMA)]
    truncate: Annotated[
        Truncate | None, PlainValidator(_read_truncate), WithJsonSchema(_TRUNCATE_SCHEMA)
    ] = None
    prompt_name: str | None = Field(
        None, description="A prompt of the model, put in front of every input."
    )
    input_type: Annotated[str | None, WithJsonSchema(_INPUT_TYPE_SCHEMA)] = None

    @property
    def inputs(self) -> Inputs:
        """`input` for the engine, whose tokenizer checks every item."""
        return cast("Inputs", self.input)

    @property
    def input_count(self) -> int:
        """N, the number of inputs, before anything is checked."""
        if isinstance(self.input, str) or (self.input and isinstance(self.input[0], int)):
            return 1
        return len(self.input)

    def prompt_name_of(self, prompts: Mapping[str, str]) -> str | None:
        """Name of the prompt that is wanted of a model's: `prompt_name`, else by `input_type`.

        Raises:
            InputTypeError: see `engine.prompts`.
        """
        if self.prompt_name is not None or self.input_type is None:
            return self.prompt_name
        return prompt_name_for(shorten(self.input_type), prompts)

    @classmethod
    async def read(cls, body: Body, limits: BodyLimits) -> Self:
        """Same as `parse`, in turns with what else the event loop has to do."""
        return await run_in_turns(cls._parse_in_slices(body, limits))

    @classmethod
    def parse(cls, body: Body, limits: BodyLimits | None = None) -> Self:
        """Read a body, once; `limits` are those of the default options if None.

        Raises:
            InvalidInputError: not JSON, or not of this shape; names the field.
        """
        return run(cls._parse_in_slices(body, limits or BodyLimits.of([EngineConfig()])))

    @classmethod
    def _parse_in_slices(cls, body: Body, limits: BodyLimits) -> Slices[Self]:
        if not body:
            raise InvalidInputError("The body is empty; send a JSON object.", param=None)
        try:
            fields = yield from read_object(body, _shape_of(cls, limits))
            _bound_texts(fields)
            return cls.model_validate(fields)
        except ValidationError as exc:
            raise _first_error(exc) from exc
        except NestedValueError as exc:
            raise cls._error_of(exc.field, exc.value) from exc

    @classmethod
    def _error_of(cls, field: str, value: object) -> InvalidInputError:
        try:
            cls.model_validate({field: value})
        except ValidationError as exc:
            return _first_error(exc, field)
        return InvalidInputError(f"{field}: has a value that it can't have.", param=field)


class EmbeddingsRequest(InputsRequest):
    """The body of POST /v1/embeddings."""

    encoding_format: Annotated[
        EncodingFormat, BeforeValidator(_read_format), WithJsonSchema(_FORMAT_SCHEMA)
    ] = Field("float", description="base64 is that of little-endian float32.")
    dimensions: int | None = Field(
        None, ge=1, description="Size of the vectors; one that the model offers."
    )
    user: str | None = Field(None, description="Logged as a hash only.")


class TokenizeRequest(InputsRequest):
    """The body of POST /v1/tokenize."""


@cache
def _shape_of(kind: type[InputsRequest], limits: BodyLimits) -> JsonShape:
    fields = frozenset(kind.model_fields)
    return JsonShape(
        fields=fields,
        lists=frozenset({"input"}),
        max_items=limits.max_inputs,
        max_numbers=limits.max_token_ids,
        unknown=partial(unknown_field, known=fields),
    )


def _bound_texts(fields: dict[str, object]) -> None:
    """Refuse texts without end; the beginning of such a name is of no model, either."""
    for name, value in fields.items():
        if isinstance(value, str) and len(value) > _LONGEST_TEXT and name != "input":
            if name != "model":
                message = f"{name} has more than {_LONGEST_TEXT} characters."
                raise InvalidInputError(message, param=name)
            fields[name] = value[: _LONGEST_TEXT + 1]


def _first_error(exc: ValidationError, field: str | None = None) -> InvalidInputError:
    """The first error, or the first of this field."""
    errors = exc.errors(include_url=False, include_context=False, include_input=False)
    error = next(error for error in errors if field in (None, *error["loc"][:1]))
    param = _param(error["loc"])
    sentence = _SENTENCES.get(error["type"])
    if sentence is None:
        reason = error["msg"].removeprefix("Value error, ")
        return InvalidInputError(f"{param}: {reason[0].lower()}{reason[1:]}.", param=param)
    return InvalidInputError(sentence.replace("{0}", param or ""), param=param)


def _param(location: tuple[int | str, ...]) -> str | None:
    """The name of a field as clients write it: ("input", 3) -> `input[3]`."""
    name = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return shorten(name.removeprefix(".")) or None
