"""Which weights files a bundle gets, and how each is made."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from engine.errors import ExportError
from engine.export.gguf_file import GgufFile
from engine.export.gguf_precision import write_at_precision
from engine.export.model_source import ModelSource, OnnxFile
from engine.export.moments import second_moments
from engine.export.onnx_blocks import write_block_onnx
from engine.export.onnx_int8 import write_int8_onnx
from engine.export.onnx_writer import write_onnx
from engine.export.options import ExportOptions
from engine.export.progress import Progress
from engine.export.token_samples import TokenSample, sample_tokens
from engine.model import BundleFile, FileRole, sha256_of
from engine.precisions import GGUF_PRECISIONS, ONNX_PRECISIONS


@dataclass(frozen=True, slots=True)
class Plan:
    """Wanted precisions, the most exact ones first: these are `model.gguf` and `model.onnx`."""

    gguf: tuple[str, ...]
    onnx: tuple[str, ...]

    @classmethod
    def of(cls, source: ModelSource, options: ExportOptions) -> Plan:
        """What the options ask for, else what is usual for the source.

        Raises:
            ExportError: a precision is not known, or no file is wanted at all.
        """
        gguf = source.default_gguf if options.gguf is None else options.gguf
        onnx = source.default_onnx if options.onnx is None else options.onnx
        plan = cls(
            _ordered(gguf, (*GGUF_PRECISIONS, *source.gguf), "GGUF"),
            _ordered(onnx, (*ONNX_PRECISIONS, *(row.precision for row in source.onnx)), "ONNX"),
        )
        if not plan.gguf and not plan.onnx:
            raise ExportError("Neither a GGUF nor an ONNX file is wanted: there is no bundle.")
        return plan


def _ordered(wanted: tuple[str, ...], known: tuple[str, ...], kind: str) -> tuple[str, ...]:
    for precision in wanted:
        if precision not in known:
            raise ExportError(
                f"No {kind} file of the precision {precision!r} can be made of this source. "
                f"Known: {', '.join(dict.fromkeys(known))}."
            )
    return tuple(precision for precision in dict.fromkeys(known) if precision in wanted)


@dataclass(slots=True)
class WeightsWriter:
    """Makes the planned files one by one, each with one line of progress before it."""

    source: ModelSource
    directory: Path
    work: Path
    progress: Progress
    entries: list[BundleFile] = field(default_factory=list)

    def write(self, plan: Plan) -> None:
        """Make all files.

        Raises:
            ExportError: one can't be made of this source.
        """
        for precision in plan.gguf:
            name = _name("gguf", precision, plan.gguf)
            self.progress(f"writing {name} ({precision}) ...")
            self._gguf(precision, self.directory / name)
            self._list(self.directory / name, FileRole.GGUF, precision)
        for precision in plan.onnx:
            ready = self._ready_onnx(precision)
            name = ready.path.name if ready else _name("onnx", precision, plan.onnx)
            self.progress(f"writing {name} ({precision}) ...")
            data = self._copy(ready) if ready else self._onnx(precision, self.directory / name)
            self._list(self.directory / name, FileRole.ONNX, precision)
            if data is not None:
                self._list(data, FileRole.ONNX_DATA, precision)

    def _gguf(self, precision: str, path: Path) -> None:
        if precision in self.source.gguf:
            shutil.copyfile(self.source.gguf[precision], path)
        else:
            write_at_precision(GgufFile(self.source.most_exact), path, precision)

    def _onnx(self, precision: str, path: Path) -> Path:
        if precision == "fp32":
            return write_onnx(GgufFile(self.source.most_exact), path)
        exact = self.work / "exact.onnx"
        if precision == "int8":
            write_onnx(GgufFile(self.source.most_exact), exact)
            return write_int8_onnx(exact, path, second_moments(exact, self._token_samples()))
        blocks = self.source.gguf.get(precision, self.work / f"{precision}.gguf")
        if not blocks.exists():
            self._gguf(precision, blocks)
        source = GgufFile(blocks)
        write_onnx(source, exact)
        return write_block_onnx(source, exact, path)

    def _token_samples(self) -> Sequence[TokenSample]:
        return sample_tokens(
            self.source.tokenizer_json,
            vocabulary_size=self.source.vocabulary_size,
            max_input_tokens=self.source.facts.max_input_tokens,
        )

    def _ready_onnx(self, precision: str) -> OnnxFile | None:
        """An ONNX file is copied only where there are no GGUF weights to make it of."""
        if self.source.gguf:
            return None
        return next((row for row in self.source.onnx if row.precision == precision), None)

    def _copy(self, ready: OnnxFile) -> Path | None:
        shutil.copyfile(ready.path, self.directory / ready.path.name)
        if ready.data is None:
            return None
        return Path(shutil.copyfile(ready.data, self.directory / ready.data.name))

    def _list(self, path: Path, role: FileRole, precision: str) -> None:
        self.entries.append(entry_of(path, role, precision))


def entry_of(path: Path, role: FileRole, precision: str | None = None) -> BundleFile:
    """A file's row in the manifest."""
    return BundleFile(
        role=role,
        path=path.name,
        sha256=sha256_of(path),
        bytes=path.stat().st_size,
        precision=precision,
    )


def _name(extension: str, precision: str, wanted: tuple[str, ...]) -> str:
    return f"model.{extension}" if precision == wanted[0] else f"model.{precision}.{extension}"
