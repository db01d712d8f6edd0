"""A bundle as a source: other files of the same model, in the same space."""

from __future__ import annotations

from pathlib import Path

from engine.errors import ExportError, IntegrityError
from engine.export.model_source import ModelSource, OnnxFile, Opening
from engine.export.options import Facts
from engine.golden import GoldenSet
from engine.model import BundleFile, FileRole, ModelBundle
from engine.model_files import MAX_TOKENIZER_BYTES, read_bounded


def open_bundle(opening: Opening) -> ModelSource:
    """Read a bundle whose hashes hold. Its golden vectors and its fingerprint stay.

    Raises:
        ExportError: an option would change the vector space.
        IntegrityError: a file is missing or was altered.
    """
    path, options = opening.path, opening.options
    if options.of_the_space:
        raise ExportError(
            f"{path} is a bundle, and {', '.join(options.of_the_space)} would change its vector "
            "space. Export it anew from its own source instead."
        )
    bundle = ModelBundle.open(path)
    bundle.verify_hashes()
    manifest = bundle.manifest
    gguf = {entry.precision or "f32": bundle.path(entry) for entry in _all(bundle, FileRole.GGUF)}
    onnx = [_onnx_file(bundle, entry) for entry in _all(bundle, FileRole.ONNX)]
    facts = Facts(
        name=manifest.name,
        pooling=manifest.pooling,
        normalize=manifest.normalize,
        max_input_tokens=manifest.max_input_tokens,
        prompts=manifest.prompts,
        default_prompt_name=manifest.default_prompt_name,
        matryoshka_dimensions=manifest.matryoshka_dimensions,
        default_dimensions=manifest.default_dimensions,
    )
    return ModelSource(
        facts=facts.changed_by(options),
        architecture=manifest.architecture,
        dimensions=manifest.dimensions,
        vocabulary_size=manifest.vocabulary_size,
        tokenizer_json=_text(_one(bundle, FileRole.TOKENIZER)),
        weights_sha256=manifest.weights_sha256 or "",
        default_gguf=tuple(gguf),
        default_onnx=tuple(file.precision for file in onnx),
        gguf=gguf,
        onnx=onnx,
        golden=GoldenSet.load(_one(bundle, FileRole.GOLDEN)),
        fingerprint=manifest.fingerprint,
        notes=() if manifest.certificate is None else manifest.certificate.notes,
    )


def _all(bundle: ModelBundle, role: FileRole) -> list[BundleFile]:
    return [entry for entry in bundle.manifest.files if entry.role is role]


def _one(bundle: ModelBundle, role: FileRole) -> Path:
    entry = bundle.manifest.file(role)
    if entry is None:
        raise ExportError(f"{bundle.directory} lists no file of the role {role.value}.")
    return bundle.path(entry)


def _text(path: Path) -> str:
    try:
        return read_bounded(path, MAX_TOKENIZER_BYTES).decode("utf-8")
    except OSError as exc:
        raise IntegrityError(f"{path} can't be read: {exc.strerror or exc}.") from exc
    except UnicodeDecodeError as exc:
        raise IntegrityError(f"{path} is not a tokenizer: it is not UTF-8.") from exc


def _onnx_file(bundle: ModelBundle, entry: BundleFile) -> OnnxFile:
    data = bundle.manifest.file(FileRole.ONNX_DATA, entry.precision)
    return OnnxFile(
        bundle.path(entry),
        None if data is None else bundle.path(data),
        entry.precision or "fp32",
    )
