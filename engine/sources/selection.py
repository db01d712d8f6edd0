"""Which of a bundle's files are wanted, and the manifest that lists only these."""

from __future__ import annotations

import hashlib

from pydantic import ValidationError

from engine.errors import ManifestError, SourceError
from engine.model import MANIFEST_NAME, BundleFile, FileRole, Manifest
from engine.sources.cache import Snapshot
from engine.sources.expected import Digest, ExpectedFile
from engine.sources.request import FileFilter


def bundle_snapshot(manifest_text: bytes, *, where: str, files: FileFilter | None) -> Snapshot:
    """The wanted part of the bundle at `where`, whose manifest was just read.

    Its key is the manifest's SHA-256 and, if files are left out, a hash of the names of the rest.

    Raises:
        ManifestError: the manifest is not valid.
        SourceError: the bundle lacks what is wanted.
    """
    manifest = _parse(manifest_text, where)
    entries = wanted_files(manifest, files, where)
    key = hashlib.sha256(manifest_text).hexdigest()
    if len(entries) < len(manifest.files):
        names = "\n".join(entry.path for entry in entries)
        key += f"-{hashlib.sha256(names.encode()).hexdigest()[:8]}"
        manifest_text = manifest.model_copy(update={"files": entries}).to_json().encode()
    return Snapshot(
        key=key,
        revision=key,
        files=tuple(
            ExpectedFile(entry.path, entry.bytes, Digest("sha256", entry.sha256))
            for entry in entries
        ),
        documents={MANIFEST_NAME: manifest_text},
    )


def wanted_files(
    manifest: Manifest, files: FileFilter | None, where: str
) -> tuple[BundleFile, ...]:
    """The files of a bundle that pass the filter.

    Raises:
        SourceError: there is none of a wanted role or precision.
    """
    if files is None:
        return manifest.files
    entries = tuple(
        entry
        for entry in manifest.files
        if (files.roles is None or entry.role in files.roles)
        and (files.precision is None or entry.precision in (None, files.precision))
    )
    missing = (files.roles or frozenset()) - {entry.role for entry in entries}
    missing -= {FileRole.ONNX_DATA}
    wanted_precision = files.precision is not None and (
        files.roles is None or bool(files.roles & {FileRole.ONNX, FileRole.GGUF})
    )
    if missing or (wanted_precision and all(entry.precision is None for entry in entries)):
        asked = ", ".join(sorted(missing)) or "file"
        precision = f" of precision {files.precision}" if files.precision else ""
        has = ", ".join(f"{e.path} ({e.role}, {e.precision or 'any'})" for e in manifest.files)
        raise SourceError(f"The bundle at {where} has no {asked}{precision}. It has: {has}.")
    return entries


def refuse_filter(files: FileFilter | None, where: str) -> None:
    """Refuse a filter on what is not a bundle.

    Raises:
        SourceError: there is a filter.
    """
    if files is not None:
        raise SourceError(
            f"{where} has no {MANIFEST_NAME}, so it is not a bundle, and its files have no roles "
            "to choose by. Export it first: embellama export SOURCE --output DIR."
        )


def _parse(text: bytes, where: str) -> Manifest:
    try:
        return Manifest.model_validate_json(text)
    except ValidationError as exc:
        first = exc.errors()[0]
        at = ".".join(map(str, first["loc"])) or "document"
        raise ManifestError(
            f"{where}/{MANIFEST_NAME} is not a valid manifest: {at}: {first['msg']}."
        ) from exc
