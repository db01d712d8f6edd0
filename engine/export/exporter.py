"""`embellama export`: any source -> a bundle at a place, in full or not at all."""

from __future__ import annotations

from pathlib import Path

from engine.errors import BundleError, ExportError
from engine.export.atomic import build_beside
from engine.export.bundle import write_bundle
from engine.export.options import ExportOptions
from engine.export.progress import Progress
from engine.model import MANIFEST_NAME, Manifest, ModelBundle


def export(source: Path, output: Path, options: ExportOptions, progress: Progress) -> ModelBundle:
    """Make a bundle of a source.

    Where `output` is a bundle, it is replaced if it has the same space and the same files (then
    nothing is lost), or if `options.force` says so. Anything else at `output` is never touched,
    but for an empty directory. A failed export leaves nothing and changes nothing.

    Raises:
        ExportError: the source can't be exported as asked for, or the output can't be written.
        CertificateError: a written file computes other vectors than the source.
        BundleError: the source is damaged.
    """
    _check_output(output)

    def build(directory: Path) -> None:
        manifest = write_bundle(source, directory, options, progress)
        if not options.force:
            _check_same(output, manifest)
        _check_opens(directory)

    build_beside(output, build)
    return ModelBundle.open(output)


def _check_output(output: Path) -> None:
    """Refuse before the work is done what can never be replaced."""
    try:
        is_free = not output.exists() or (output.is_dir() and not any(output.iterdir()))
    except OSError as exc:
        raise ExportError(f"{output} can't be read: {exc.strerror}.") from exc
    if not is_free and not (output / MANIFEST_NAME).is_file():
        raise ExportError(
            f"{output} is there already and is not a bundle, so it is not replaced. "
            "Give another directory."
        )


def _check_opens(directory: Path) -> None:
    """Let no bundle come to its place that nothing can open."""
    try:
        ModelBundle.open(directory)
    except BundleError as exc:
        raise ExportError(f"The bundle that was made can't be opened: {exc.message}") from exc


def _check_same(output: Path, manifest: Manifest) -> None:
    if not (output / MANIFEST_NAME).is_file():
        return
    try:
        found = ModelBundle.open(output).manifest
    except BundleError:
        found = None
    same = ("name", "fingerprint", "files", "matryoshka_dimensions")
    if found is None or any(getattr(found, key) != getattr(manifest, key) for key in same):
        raise ExportError(
            f"{output} is another bundle already. Replace it with --force, or give another "
            "directory."
        )
