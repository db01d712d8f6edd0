"""Small bundles whose files are random bytes: a source is never asked to compute."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

from engine.model import MANIFEST_NAME, BundleFile, FileRole, Manifest
from engine.types import Pooling

LAMBDA_ROLES = frozenset({FileRole.TOKENIZER, FileRole.GOLDEN, FileRole.ONNX, FileRole.ONNX_DATA})
_FILES = (
    (FileRole.TOKENIZER, "tokenizer.json", None, 700),
    (FileRole.GOLDEN, "golden.json", None, 300),
    (FileRole.GGUF, "model.gguf", "f32", 5_000),
    (FileRole.ONNX, "model.onnx", "fp32", 400),
    (FileRole.ONNX_DATA, "model.onnx_data", "fp32", 3_000_000),
    (FileRole.ONNX, "model.int8.onnx", "int8", 900),
)


def bundle_contents(seed: int = 1) -> dict[str, bytes]:
    """Every file of a bundle by name, its manifest included."""
    source = random.Random(seed)  # noqa: S311 - not a secret
    contents = {path: source.randbytes(size) for _, path, _, size in _FILES}
    manifest = Manifest(
        name="small",
        architecture="bert",
        pooling=Pooling.MEAN,
        normalize=True,
        max_input_tokens=16,
        vocabulary_size=10,
        dimensions=4,
        files=tuple(
            BundleFile(
                role=role,
                path=path,
                precision=precision,
                bytes=len(contents[path]),
                sha256=hashlib.sha256(contents[path]).hexdigest(),
            )
            for role, path, precision, _ in _FILES
        ),
        fingerprint=f"{seed:032x}",
    )
    contents[MANIFEST_NAME] = manifest.to_json().encode()
    return contents


def write_files(directory: Path, contents: dict[str, bytes]) -> Path:
    """Put files below a directory, which is made."""
    for path, content in contents.items():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_bytes(content)
    return directory


def read_files(directory: Path) -> dict[str, bytes]:
    """Every file below a directory by its relative path."""
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }
