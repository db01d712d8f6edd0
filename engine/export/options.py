"""What a caller may ask of an export."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from engine.errors import ExportError
from engine.prompts import fault_of_prompts, is_unicode
from engine.types import Pooling


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """None leaves a thing to the source. `gguf` and `onnx` are the precisions of wanted files."""

    name: str | None = None
    gguf: tuple[str, ...] | None = None
    onnx: tuple[str, ...] | None = None
    pooling: Pooling | None = None
    normalize: bool | None = None
    max_input_tokens: int | None = None
    prompts: Mapping[str, str] | None = None
    default_prompt_name: str | None = None
    matryoshka_dimensions: tuple[int, ...] | None = None
    force: bool = False
    """Replace a bundle that is already there."""

    @property
    def of_the_space(self) -> dict[str, object]:
        """Given options that change vectors, by name."""
        rows = {
            "pooling": self.pooling,
            "normalize": self.normalize,
            "max_input_tokens": self.max_input_tokens,
            "prompts": self.prompts,
            "default_prompt_name": self.default_prompt_name,
        }
        return {name: value for name, value in rows.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Facts:
    """What a source says of its model, or an option instead of it."""

    name: str
    pooling: Pooling | None
    normalize: bool
    max_input_tokens: int
    prompts: Mapping[str, str] = field(default_factory=dict)
    default_prompt_name: str | None = None
    matryoshka_dimensions: tuple[int, ...] = ()
    default_dimensions: int | None = None
    """What vectors are cut to where a request says nothing; None for not at all."""
    notes: tuple[str, ...] = ()
    """What the source's user should know of how these were found."""

    def changed_by(self, options: ExportOptions) -> Facts:
        """These facts, with the given options in their place.

        Raises:
            ExportError: the default prompt is not among the prompts, one can't be taken, or the
                name is not valid Unicode.
        """
        changed = replace(
            self,
            name=options.name or self.name,
            pooling=options.pooling or self.pooling,
            normalize=self.normalize if options.normalize is None else options.normalize,
            max_input_tokens=options.max_input_tokens or self.max_input_tokens,
            prompts=dict(self.prompts if options.prompts is None else options.prompts),
            default_prompt_name=options.default_prompt_name or self.default_prompt_name,
            matryoshka_dimensions=self.matryoshka_dimensions
            if options.matryoshka_dimensions is None
            else tuple(sorted(set(options.matryoshka_dimensions), reverse=True)),
        )
        if not is_unicode(changed.name):
            raise ExportError(f"The name {changed.name!r} is not valid Unicode; give one (--name).")
        fault = fault_of_prompts(changed.prompts, changed.max_input_tokens)
        if fault is not None:
            raise ExportError(f"No bundle can be made: {fault}.")
        default = changed.default_prompt_name
        if default is not None and default not in changed.prompts:
            raise ExportError(
                f"The default prompt {default!r} is not among the prompts: "
                f"{', '.join(sorted(changed.prompts)) or 'there are none'}."
            )
        return changed

    @property
    def required_pooling(self) -> Pooling:
        """The pooling.

        Raises:
            ExportError: neither the source nor an option states one.
        """
        if self.pooling is None:
            raise ExportError(
                f"The source of {self.name} states no pooling; give one (--pooling cls, mean or "
                "last_token). Its model card says which."
            )
        return self.pooling
