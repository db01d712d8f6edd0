"""The model bundle: a directory with a manifest and the files that it lists."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from engine.errors import BundleError, IntegrityError, ManifestError
from engine.model_files import MAX_MANIFEST_BYTES, open_regular, read_bounded
from engine.prompts import fault_of_prompts
from engine.types import Pooling

MANIFEST_NAME = "manifest.json"
MOST_INPUT_TOKENS = 1 << 20
MOST_DIMENSIONS = 1 << 16
"""Several times what any published model has; memory is reserved by these numbers."""
MOST_TOKEN_IDS = 1 << 24
"""More than any vocabulary has (XLM-V: 901,629), and few enough for ids to be int32."""
_HASH_CHUNK_BYTES = 1 << 20

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
FileName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]*$")]


class FileRole(StrEnum):
    """What a file of the bundle is for."""

    TOKENIZER = "tokenizer"
    GGUF = "gguf"
    ONNX = "onnx"
    ONNX_DATA = "onnx_data"
    """Weights that an ONNX file of the same precision refers to."""
    GOLDEN = "golden"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class BundleFile(_Frozen):
    """One file of the bundle's directory, which has no directories below it."""

    role: FileRole
    path: FileName
    sha256: Sha256
    bytes: int = Field(ge=0)
    precision: str | None = None


class Agreement(_Frozen):
    """How close the vectors of one file are to the source's on the golden texts."""

    path: FileName
    backend: str
    min_cosine: float
    mean_cosine: float
    max_abs_diff: float
    top10_agreement: float
    """Share of the ten nearest neighbours of each text that both agree on, 0 to 1."""
    tolerance: float
    """Smallest cosine that passes."""
    passed: bool


class Certificate(_Frozen):
    """What was measured when the bundle was made."""

    reference: str
    """What computed the golden vectors."""
    texts: int
    created: str
    """UTC time, ISO 8601."""
    tools: dict[str, str]
    """Versions of the packages that took part."""
    files: tuple[Agreement, ...]
    notes: tuple[str, ...] = ()
    """What was found and is known, such as texts that llama.cpp tokenizes otherwise."""


class Manifest(_Frozen):
    """What a bundle is. `fingerprint` identifies its vector space, whatever runs it."""

    schema_version: Literal[1] = Field(1, alias="schema")
    name: str = Field(min_length=1)
    architecture: str
    pooling: Pooling
    normalize: bool
    max_input_tokens: int = Field(ge=3, le=MOST_INPUT_TOKENS)
    vocabulary_size: int = Field(ge=1, le=MOST_TOKEN_IDS)
    """Rows of the model's token table: an input's ids lie below it."""
    dimensions: int = Field(ge=1, le=MOST_DIMENSIONS)
    matryoshka_dimensions: tuple[int, ...] = ()
    default_dimensions: int | None = Field(None, ge=1)
    """What vectors are cut to where a request says nothing; None for all `dimensions`."""
    prompts: dict[str, str] = {}
    """Texts that are put in front of an input, by name."""
    default_prompt_name: str | None = None
    """The prompt of a request that names none."""
    files: tuple[BundleFile, ...]
    fingerprint: str
    weights_sha256: Sha256 | None = None
    """Hash of the source's weights; with it the fingerprint can be computed anew."""
    certificate: Certificate | None = None

    @model_validator(mode="after")
    def _check_default_prompt_name(self) -> Self:
        name = self.default_prompt_name
        if name is not None and name not in self.prompts:
            raise ValueError(f"default_prompt_name: {name!r} is not among the prompts")
        return self

    @model_validator(mode="after")
    def _check_files(self) -> Self:
        seen = set()
        for entry in self.files:
            key = (entry.role, entry.precision)
            if key in seen:
                precision = f" and the precision {entry.precision!r}" if entry.precision else ""
                raise ValueError(f"files: two have the role {entry.role.value}{precision}")
            seen.add(key)
        return self

    @model_validator(mode="after")
    def _check_prompts(self) -> Self:
        fault = fault_of_prompts(self.prompts, self.max_input_tokens)
        if fault is not None:
            raise ValueError(f"prompts: {fault}")
        return self

    @model_validator(mode="after")
    def _check_matryoshka_dimensions(self) -> Self:
        for size in self.matryoshka_dimensions:
            if not 1 <= size <= self.dimensions:
                raise ValueError(f"matryoshka_dimensions: {size} is not within {self.dimensions}")
        if self.output_dimensions > self.dimensions:
            raise ValueError(
                f"default_dimensions: {self.default_dimensions} is not within {self.dimensions}"
            )
        return self

    @property
    def output_dimensions(self) -> int:
        """Numbers in a vector where a request says nothing of it."""
        return self.default_dimensions or self.dimensions

    @property
    def listed_dimensions(self) -> tuple[int, ...]:
        """The sizes that are worth telling: those that the model was trained for, or all."""
        return (
            self.matryoshka_dimensions
            if self.default_dimensions is None
            else self.allowed_dimensions
        )

    @property
    def allowed_dimensions(self) -> tuple[int, ...]:
        """All sizes that a request may ask for, largest first."""
        sizes = {self.dimensions, self.output_dimensions, *self.matryoshka_dimensions}
        return tuple(sorted(sizes, reverse=True))

    def file(self, role: FileRole, precision: str | None = None) -> BundleFile | None:
        """The first file of this role, and of this precision unless None."""
        for entry in self.files:
            if entry.role is role and precision in (None, entry.precision):
                return entry
        return None

    def to_json(self) -> str:
        """The text of `manifest.json`.

        A key that most models lack is left out, so that versions before it can read the others.
        """
        unused = {"default_dimensions"} if self.default_dimensions is None else None
        return self.model_dump_json(by_alias=True, indent=2, exclude=unused) + "\n"


class ModelBundle:
    """A directory whose manifest was read and whose files have the sizes that it says."""

    def __init__(self, directory: Path, manifest: Manifest) -> None:
        self.directory = directory
        self.manifest = manifest

    @classmethod
    def open(cls, directory: Path | str) -> Self:
        """Read the manifest and check that every file is there in its full size.

        Raises:
            ManifestError: no manifest, or not a valid one.
            IntegrityError: a listed file is missing or has another size.
        """
        root = Path(directory)
        bundle = cls(root, _read_manifest(root / MANIFEST_NAME))
        bundle._check_fingerprint()
        for entry in bundle.manifest.files:
            bundle._check_size(entry)
        return bundle

    def path(self, entry: BundleFile) -> Path:
        """Where a file of the bundle lies."""
        return self.directory / entry.path

    def verify_hashes(self, entries: Iterable[BundleFile] | None = None) -> None:
        """Compare the SHA-256 of the given files, by default all, with the manifest.

        Raises:
            IntegrityError: a file was altered or can't be read.
        """
        for entry in self.manifest.files if entries is None else entries:
            try:
                actual = sha256_of(self.path(entry))
            except OSError as exc:
                raise IntegrityError(
                    f"{self.path(entry)} can't be read: {exc.strerror or exc}."
                ) from exc
            if actual != entry.sha256:
                raise IntegrityError(
                    f"{self.path(entry)} has the SHA-256 {actual}, but the manifest says "
                    f"{entry.sha256}. The file was altered: make or fetch the bundle anew."
                )

    def _check_fingerprint(self) -> None:
        """Nothing that decides a text's vector may be edited under an old fingerprint."""
        manifest = self.manifest
        tokenizer = manifest.file(FileRole.TOKENIZER)
        if manifest.weights_sha256 is None or tokenizer is None:
            return
        actual = fingerprint(
            weights_sha256=manifest.weights_sha256,
            tokenizer_sha256=tokenizer.sha256,
            pooling=manifest.pooling,
            normalize=manifest.normalize,
            max_input_tokens=manifest.max_input_tokens,
            prompts=manifest.prompts,
            default_prompt_name=manifest.default_prompt_name,
            default_dimensions=manifest.default_dimensions,
        )
        if actual != manifest.fingerprint:
            raise ManifestError(
                f"{self.directory / MANIFEST_NAME} has the fingerprint {manifest.fingerprint}, but "
                f"what it says of the model has {actual}. It was edited: make the bundle anew."
            )

    def _check_size(self, entry: BundleFile) -> None:
        path = self.path(entry)
        try:
            with open_regular(path) as file:
                size = os.fstat(file.fileno()).st_size
        except OSError as exc:
            raise IntegrityError(
                f"{path} is listed in the manifest but can't be read: {exc.strerror or exc}."
            ) from exc
        if size != entry.bytes:
            raise IntegrityError(
                f"{path} has {size} bytes, but the manifest says {entry.bytes}. "
                "The file is damaged: make or fetch the bundle anew."
            )


def fingerprint(
    *,
    weights_sha256: str,
    tokenizer_sha256: str,
    pooling: Pooling,
    normalize: bool,
    max_input_tokens: int,
    prompts: dict[str, str],
    default_prompt_name: str | None = None,
    default_dimensions: int | None = None,
) -> str:
    """Identify a vector space: 32 hex digits over all that decides a text's vector.

    `weights_sha256` is the hash of the source weights, so every file exported from one
    source, at any precision and for any runtime, has one fingerprint.
    """
    parts = {
        "weights": weights_sha256,
        "tokenizer": tokenizer_sha256,
        "pooling": pooling.value,
        "normalize": normalize,
        "max_input_tokens": max_input_tokens,
        "prompts": prompts,
    }
    if default_prompt_name is not None:
        parts["default_prompt_name"] = default_prompt_name
    if default_dimensions is not None:
        parts["default_dimensions"] = default_dimensions
    canonical = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:32]


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, as 64 hex digits."""
    digest = hashlib.sha256()
    with open_regular(path) as file:
        while chunk := file.read(_HASH_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def combined_sha256(hashes: Sequence[str]) -> str:
    """The only hash, or the hash of all."""
    if len(hashes) == 1:
        return hashes[0]
    return hashlib.sha256("".join(hashes).encode("ascii")).hexdigest()


def _read_manifest(path: Path) -> Manifest:
    try:
        text = read_bounded(path, MAX_MANIFEST_BYTES).decode("utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        reason = exc.strerror or exc if isinstance(exc, OSError) else "it is not UTF-8"
        raise ManifestError(
            f"{path} can't be read: {reason}. A bundle is a directory with a {MANIFEST_NAME}; "
            "make one with: embellama export SOURCE --output DIR."
        ) from exc
    try:
        return Manifest.model_validate_json(text, strict=True)  # "5" is no number
    except ValidationError as exc:
        first = exc.errors()[0]
        where = ".".join(map(str, first["loc"])) or "document"
        raise ManifestError(f"{path} is not a valid manifest: {where}: {first['msg']}.") from exc


def is_bundle(directory: Path) -> bool:
    """Whether all files are there in full size. A cache may have been cleaned by halves."""
    try:
        ModelBundle.open(directory)
    except BundleError:
        return False
    return True
