"""Checkpoint -> the files of a bundle, its certificate and its manifest."""

from __future__ import annotations

from pathlib import Path

from engine.backends.onnx import OnnxBackend
from engine.errors import ExportError
from engine.export.certificate import certify, measure
from engine.export.checkpoint import Checkpoint
from engine.export.gguf_file import GgufFile
from engine.export.gguf_writer import write_gguf
from engine.export.golden_maker import make_golden_set, write_golden_set
from engine.export.onnx_writer import write_onnx
from engine.export.progress import Progress
from engine.export.reference import Reference
from engine.export.weights import weights_sha256
from engine.golden import GoldenSet
from engine.model import (
    MANIFEST_NAME,
    BundleFile,
    Certificate,
    FileRole,
    Manifest,
    fingerprint,
    sha256_of,
)
from engine.types import Pooling

_TOKENIZER, _GGUF, _ONNX, _GOLDEN = "tokenizer.json", "model.gguf", "model.onnx", "golden.json"


def write_bundle(
    checkpoint: Checkpoint, directory: Path, *, name: str, progress: Progress
) -> Manifest:
    """Write all files of a bundle into an empty directory.

    Raises:
        ExportError: the checkpoint can't be exported.
        CertificateError: a written file computes other vectors than the source.
    """
    pooling = _required_pooling(checkpoint)
    (directory / _TOKENIZER).write_text(checkpoint.tokenizer_json, "utf-8")
    progress(f"[1/4] writing {_GGUF} (f32) ...")
    write_gguf(checkpoint, directory / _GGUF, name=name, pooling=pooling)
    source = GgufFile(directory / _GGUF)
    progress(f"[2/4] writing {_ONNX} (fp32) ...")
    data = write_onnx(source, directory / _ONNX)
    progress(f"[3/4] computing reference vectors for {_GOLDEN} ...")
    golden = _write_golden(checkpoint, source, directory, pooling)
    progress(f"[4/4] comparing {_ONNX} with the reference ...")
    certificate = _certify_onnx(directory / _ONNX, golden, pooling, normalize=checkpoint.normalize)
    files = (
        _entry(directory / _TOKENIZER, FileRole.TOKENIZER),
        _entry(directory / _GGUF, FileRole.GGUF, "f32"),
        _entry(directory / _ONNX, FileRole.ONNX, "fp32"),
        _entry(data, FileRole.ONNX_DATA, "fp32"),
        _entry(directory / _GOLDEN, FileRole.GOLDEN),
    )
    manifest = _manifest(checkpoint, source, name, pooling, files, certificate)
    (directory / MANIFEST_NAME).write_text(manifest.to_json(), "utf-8")
    return manifest


def _required_pooling(checkpoint: Checkpoint) -> Pooling:
    if checkpoint.pooling is None:
        raise ExportError(f"{checkpoint.directory} states no pooling; give one.")
    if checkpoint.default_prompt_name is not None:
        raise ExportError(
            f"{checkpoint.directory} puts the prompt {checkpoint.default_prompt_name!r} before "
            "every text by default, which a bundle can't say."
        )
    return checkpoint.pooling


def _write_golden(
    checkpoint: Checkpoint, source: GgufFile, directory: Path, pooling: Pooling
) -> GoldenSet:
    golden = make_golden_set(
        directory / _TOKENIZER,
        Reference(source),
        vocabulary_size=int(source.hyperparameter("vocab_size")),
        max_input_tokens=checkpoint.max_input_tokens,
        pooling=pooling,
        normalize=checkpoint.normalize,
    )
    write_golden_set(golden, directory / _GOLDEN)
    return golden


def _certify_onnx(
    path: Path, golden: GoldenSet, pooling: Pooling, *, normalize: bool
) -> Certificate:
    backend = OnnxBackend(path, precision="fp32")
    try:
        row = measure(backend, golden, path=path.name, pooling=pooling, normalize=normalize)
    finally:
        backend.close()
    return certify(golden, [row])


def _manifest(
    checkpoint: Checkpoint,
    source: GgufFile,
    name: str,
    pooling: Pooling,
    files: tuple[BundleFile, ...],
    certificate: Certificate,
) -> Manifest:
    return Manifest(
        schema=1,
        name=name,
        architecture=source.architecture,
        pooling=pooling,
        normalize=checkpoint.normalize,
        max_input_tokens=checkpoint.max_input_tokens,
        vocabulary_size=int(source.hyperparameter("vocab_size")),
        dimensions=int(source.hyperparameter("embedding_length")),
        matryoshka_dimensions=checkpoint.matryoshka_dimensions,
        prompts=checkpoint.prompts,
        files=files,
        fingerprint=fingerprint(
            weights_sha256=weights_sha256(checkpoint.weights),
            tokenizer_sha256=files[0].sha256,
            pooling=pooling,
            normalize=checkpoint.normalize,
            max_input_tokens=checkpoint.max_input_tokens,
            prompts=checkpoint.prompts,
        ),
        certificate=certificate,
    )


def _entry(path: Path, role: FileRole, precision: str | None = None) -> BundleFile:
    return BundleFile(
        role=role,
        path=path.name,
        sha256=sha256_of(path),
        bytes=path.stat().st_size,
        precision=precision,
    )
