"""What every kind of source gives to the making of a bundle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from engine.errors import ExportError
from engine.export.gguf_file import GgufFile
from engine.export.options import ExportOptions, Facts
from engine.export.progress import Progress
from engine.golden import GoldenSet

_EXACTNESS = ("f32", "bf16", "f16", "q8_0")
"""Of several GGUF files of one model, the first of these is the one to read weights from."""


@dataclass(frozen=True, slots=True)
class Opening:
    """How a source is opened. Files that are needed only meanwhile go to `work`."""

    path: Path
    work: Path
    options: ExportOptions
    progress: Progress


@dataclass(frozen=True, slots=True)
class OnnxFile:
    """A ready ONNX file, and the file of weights that it refers to, if any."""

    path: Path
    data: Path | None
    precision: str


@dataclass(frozen=True, slots=True, eq=False)
class ModelSource:
    """A model to make a bundle of. It has GGUF files, or else ONNX files that are only copied."""

    facts: Facts
    architecture: str
    dimensions: int
    vocabulary_size: int
    tokenizer_json: str
    weights_sha256: str
    """Hash of the source's weights; empty where only the `fingerprint` is known."""
    default_gguf: tuple[str, ...]
    default_onnx: tuple[str, ...]
    gguf: Mapping[str, Path] = field(default_factory=dict)
    """Ready GGUF files by precision."""
    onnx: Sequence[OnnxFile] = ()
    golden: GoldenSet | None = None
    """Golden vectors that stay what they are."""
    fingerprint: str | None = None
    """The space, where it stays what it is."""
    notes: tuple[str, ...] = ()

    @property
    def most_exact(self) -> Path:
        """The GGUF file to read weights from.

        Raises:
            ExportError: there is none.
        """
        if not self.gguf:
            raise ExportError(
                f"The source of {self.facts.name} has ONNX files only: no GGUF file, and no other "
                "ONNX file, can be made of it. Take its checkpoint or a GGUF file as the source."
            )
        known = [self.gguf[name] for name in _EXACTNESS if name in self.gguf]
        return (known or list(self.gguf.values()))[0]


def check_length(file: GgufFile, facts: Facts) -> None:
    """Refuse a limit beyond the model's positions.

    Raises:
        ExportError: names both.
    """
    positions = file.context_length
    if facts.max_input_tokens > positions:
        raise ExportError(
            f"max_input_tokens is {facts.max_input_tokens}, but the model has positions for "
            f"{positions} tokens."
        )


def sizes(file: GgufFile) -> tuple[int, int]:
    """Dimensions and ids of a GGUF file's model."""
    table = file.stored("token_embd.weight")
    return file.number("embedding_length"), int(table.shape[0])
