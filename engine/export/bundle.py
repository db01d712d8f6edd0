"""A source -> the files of a bundle, its certificate and its manifest."""

from __future__ import annotations

import tempfile
from pathlib import Path

from pydantic import ValidationError

from engine.errors import ExportError, IntegrityError
from engine.export.certificate import certify, measure_run
from engine.export.from_onnx import OnnxReference
from engine.export.gguf_file import GgufFile
from engine.export.golden_maker import make_golden_set, write_golden_set
from engine.export.model_source import ModelSource, Opening
from engine.export.options import ExportOptions
from engine.export.plan import Plan, WeightsWriter, entry_of
from engine.export.progress import Progress
from engine.export.reference import Reference
from engine.export.source_kinds import open_source
from engine.golden import GoldenSet, reference_of_weights
from engine.model import (
    MANIFEST_NAME,
    BundleFile,
    FileRole,
    Manifest,
    ModelBundle,
    fingerprint,
)
from engine.verify import runs_of

_TOKENIZER, _GOLDEN = "tokenizer.json", "golden.json"


def write_bundle(
    source_path: Path, directory: Path, options: ExportOptions, progress: Progress
) -> Manifest:
    """Write all files of a bundle into an empty directory.

    Large files that are needed only meanwhile go to a directory beside it.

    Raises:
        ExportError: the source can't be exported as asked for.
        CertificateError: a written file computes other vectors than the source.
        BundleError: the source is damaged.
    """
    with tempfile.TemporaryDirectory(dir=directory.parent, prefix=f"{directory.name}-") as work:
        source = open_source(Opening(source_path, Path(work), options, progress))
        plan = Plan.of(source, options)
        return _write(source, plan, directory, Path(work), progress)


def _write(
    source: ModelSource, plan: Plan, directory: Path, work: Path, progress: Progress
) -> Manifest:
    files = len(plan.gguf) + len(plan.onnx)
    step = _Steps(progress, 2 * files + 1)
    (directory / _TOKENIZER).write_text(source.tokenizer_json, "utf-8")
    tokenizer = entry_of(directory / _TOKENIZER, FileRole.TOKENIZER)
    base = _manifest(source, tokenizer)
    writer = WeightsWriter(source, directory, work, step)
    writer.write(plan)
    step(f"computing reference vectors for {_GOLDEN} ...")
    golden = source.golden or _make_golden(source, directory)
    write_golden_set(golden, directory / _GOLDEN)
    entries = (
        tokenizer,
        *writer.entries,
        entry_of(directory / _GOLDEN, FileRole.GOLDEN),
    )
    draft = ModelBundle(directory, base.model_copy(update={"files": entries}))
    _check_sizes(draft.manifest, golden)
    agreements = []
    for run in runs_of(draft):
        say = progress if run.backend == "openvino" else step  # one more run of a counted file
        say(f"comparing {run.entry.path} on {run.backend} with the reference ...")
        agreements.append(measure_run(draft, run, golden, progress))
    measured = [row for row in agreements if row is not None]
    certificate = certify(golden, measured, source.notes)
    manifest = draft.manifest.model_copy(update={"certificate": certificate})
    (directory / MANIFEST_NAME).write_text(manifest.to_json(), "utf-8")
    return manifest


class _Steps:
    """Numbers the lines of a progress."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress = progress
        self._total = total
        self._done = 0

    def __call__(self, line: str) -> None:
        self._done += 1
        self._progress(f"[{self._done}/{self._total}] {line}")


def _make_golden(source: ModelSource, directory: Path) -> GoldenSet:
    path = directory / _TOKENIZER
    if not source.gguf:
        reference = OnnxReference(source.onnx[0])
        return make_golden_set(path, source, reference, name=reference.name)
    file = GgufFile(source.most_exact)
    name = reference_of_weights(file.precision)
    return make_golden_set(path, source, Reference(file), name=name)


def _check_sizes(manifest: Manifest, golden: GoldenSet) -> None:
    """Refuse a source that contradicts itself."""
    found = golden.vectors.shape[1]
    highest = max(int(text.input_ids.max()) for text in golden.texts)
    if found != manifest.dimensions or highest >= manifest.vocabulary_size:
        raise IntegrityError(
            f"The source states {manifest.dimensions} dimensions and {manifest.vocabulary_size} "
            f"token ids, but its vectors have {found} and its tokenizer gives the id {highest}."
        )


def _manifest(source: ModelSource, tokenizer: BundleFile) -> Manifest:
    """The manifest without weights, made first so that a wrong option fails at once."""
    facts = source.facts
    cut = facts.default_dimensions
    default_dimensions = cut if cut is not None and cut < source.dimensions else None
    values = {
        "schema": 1,
        "name": facts.name,
        "architecture": source.architecture,
        "pooling": facts.required_pooling,
        "normalize": facts.normalize,
        "max_input_tokens": facts.max_input_tokens,
        "vocabulary_size": source.vocabulary_size,
        "dimensions": source.dimensions,
        "matryoshka_dimensions": facts.matryoshka_dimensions,
        "default_dimensions": default_dimensions,
        "prompts": dict(facts.prompts),
        "default_prompt_name": facts.default_prompt_name,
        "files": (tokenizer,),
        "weights_sha256": source.weights_sha256 or None,
        "fingerprint": source.fingerprint
        or fingerprint(
            weights_sha256=source.weights_sha256,
            tokenizer_sha256=tokenizer.sha256,
            pooling=facts.required_pooling,
            normalize=facts.normalize,
            max_input_tokens=facts.max_input_tokens,
            prompts=dict(facts.prompts),
            default_prompt_name=facts.default_prompt_name,
            default_dimensions=default_dimensions,
        ),
    }
    try:
        return Manifest.model_validate(values)
    except ValidationError as exc:
        first = exc.errors()[0]
        where = ".".join(map(str, first["loc"]))
        message = first["msg"].removeprefix("Value error, ")
        raise ExportError(
            f"No bundle can be made: {where}{': ' if where else ''}{message}."
        ) from exc
