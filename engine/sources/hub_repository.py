"""One commit of a repository of the Hugging Face hub, through the hub's own client.

The client finds the endpoint, the token and the time-outs (HF_ENDPOINT, HF_TOKEN, HF_HUB_*), tries
again a bounded number of times, and goes on with a broken stream. It does not hash: we do.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from engine.errors import IntegrityError, SourceError
from engine.sources.expected import Digest, ExpectedFile

try:
    import huggingface_hub
    from huggingface_hub import errors
    from huggingface_hub.utils import httpx  # type: ignore[attr-defined] # re-exported lazily
except ImportError as missing:
    raise SourceError(
        f"Reading from the hub needs the package {missing.name} (extra: hub). "
        "Install it, or give a path."
    ) from missing

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoSibling


class HubRepository:
    """The files of `name` at `revision`, which is resolved to a commit first."""

    def __init__(self, name: str, revision: str | None) -> None:
        self.name = name
        self.url = f"hub:{name}@{revision}" if revision else f"hub:{name}"
        with self._translated():
            info = huggingface_hub.HfApi(library_name="embellama").model_info(
                name, revision=revision, files_metadata=True
            )
        if not info.sha or info.siblings is None:
            raise SourceError(f"{self.url} has no commit or no files.")
        self.commit = info.sha
        self.files = {file.path: file for file in map(self._expected, info.siblings)}

    def download(self, file: ExpectedFile, destination: Path) -> None:
        """Have the client fetch a file beside `destination`, verify it, then rename it.

        Raises:
            SourceError: it can't be had.
            IntegrityError: it has another size or hash than the hub or the manifest said.
            OSError: it can't be written.
        """
        private = destination.with_name(f".{destination.name}.hub")
        with self._translated():
            path = Path(
                huggingface_hub.hf_hub_download(
                    self.name,
                    file.path,
                    revision=self.commit,
                    local_dir=private,
                    library_name="embellama",
                )
            )
        try:
            file.check(path)
        except IntegrityError as exc:
            path.unlink(missing_ok=True)
            raise IntegrityError(
                f"{self.url}/{file.path} is not what it should be: {exc.message} Try again, "
                "or ask who published it to publish it anew."
            ) from exc
        path.replace(destination)

    def _expected(self, sibling: RepoSibling) -> ExpectedFile:
        path = PurePosixPath(sibling.rfilename)
        if path.is_absolute() or ".." in path.parts or "\\" in sibling.rfilename:
            raise IntegrityError(f"{self.url} lists {sibling.rfilename!r}, which is no safe path.")
        if sibling.lfs is not None:
            return ExpectedFile(str(path), sibling.lfs.size, Digest("sha256", sibling.lfs.sha256))
        if sibling.size is None or sibling.blob_id is None:
            raise IntegrityError(f"The hub states no size and hash of {self.url}/{path}.")
        return ExpectedFile(str(path), sibling.size, Digest("git_sha1", sibling.blob_id))

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except errors.RevisionNotFoundError as exc:
            raise SourceError(f"{self.url} does not exist: the hub has no such revision.") from exc
        except errors.RepositoryNotFoundError as exc:
            raise SourceError(
                f"{self.url} does not exist or may not be read, and no local path has this name. "
                "Check the name; for a private or gated one set HF_TOKEN."
            ) from exc
        except errors.OfflineModeIsEnabled as exc:
            raise SourceError(
                f"{self.url} can't be fetched: HF_HUB_OFFLINE is set. Unset it, or use --offline "
                "to take the newest copy of the cache."
            ) from exc
        except (
            errors.HfHubHTTPError,
            errors.EntryNotFoundError,
            errors.FileMetadataError,
            errors.XetDownloadError,
            httpx.HTTPError,
            ConnectionError,
            TimeoutError,
        ) as exc:
            raise SourceError(
                f"{self.url} can't be fetched: {exc}. Check the network and start again. "
                "A copy fetched before is used with --offline."
            ) from exc
