"""Objects below one prefix of a bucket: read, or streamed to disk, verified and resumable."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

from engine.errors import IntegrityError, SourceError
from engine.sources.expected import ExpectedFile
from engine.sources.request import Progress, S3Retry

try:
    import botocore.config
    import botocore.exceptions
    import tenacity
    from boto3.session import Session

    from engine.sources.s3_errors import Transient, translate
except ImportError as missing:
    raise SourceError(
        f"Reading s3:// needs the package {missing.name} (extra: aws). "
        "Install it, or give the path of a bundle."
    ) from missing

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import GetObjectOutputTypeDef

_T = TypeVar("_T")
_CHUNK_BYTES = 1 << 20


class S3Objects:
    """A client for one prefix. Credentials, region and endpoint are boto3's own concern."""

    def __init__(self, bucket: str, prefix: str, retry: S3Retry, progress: Progress) -> None:
        self.bucket = bucket
        self.prefix = prefix
        self.url = f"s3://{bucket}/{prefix}".rstrip("/")
        self._retry = retry
        self._progress = progress
        config = botocore.config.Config(
            connect_timeout=retry.connect_timeout_seconds,
            read_timeout=retry.read_timeout_seconds,
            retries={"total_max_attempts": 1},  # ours also go on with broken streams
            response_checksum_validation="when_required",  # the manifest has the hash
            user_agent_extra="embellama",
        )
        with self._translated(self.url):
            self._client = Session().client("s3", config=config)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._client.close()

    def read(self, path: str, *, max_bytes: int) -> bytes:
        """Content of a small object.

        Raises:
            SourceError: it can't be had.
            IntegrityError: it is larger than `max_bytes`.
        """
        return self._with_retries(path, lambda: self._read(path, max_bytes))

    def download(self, file: ExpectedFile, destination: Path) -> None:
        """Stream an object to `destination.part`, verify it, and only then rename it.

        A `.part` file is gone on with while the object's ETag, kept beside it, is the same.

        Raises:
            SourceError: it can't be had.
            IntegrityError: it has another size or hash than expected.
            OSError: it can't be written.
        """
        part = Part(destination)
        self._with_retries(file.path, lambda: self._go_on(file, part))
        part.finish()

    def _read(self, path: str, max_bytes: int) -> bytes:
        with self._translated(f"{self.url}/{path}"):
            response = self._client.get_object(Bucket=self.bucket, Key=self._key(path))
            with contextlib.closing(response["Body"]) as body:
                if response["ContentLength"] > max_bytes:
                    raise IntegrityError(
                        f"{self.url}/{path} has {response['ContentLength']} bytes, but at most "
                        f"{max_bytes} are read. This is not a bundle's {path}."
                    )
                return body.read()

    def _go_on(self, file: ExpectedFile, part: Part) -> None:
        """One attempt: fetch what is missing of the part, then compare all of it."""
        etag, have = part.state(file.bytes)
        url = f"{self.url}/{file.path}"
        hasher = hashlib.sha256()
        if etag is None or have < file.bytes:
            with self._translated(url, changed=part.drop):
                response = self._get(file.path, etag, have)
                with contextlib.closing(response["Body"]) as body:
                    have = have if _resumes(response) else 0
                    _check_size(url, _object_bytes(response), file, part)
                    part.write(
                        body.iter_chunks(_CHUNK_BYTES), hasher, have=have, etag=response["ETag"]
                    )
        else:
            part.hash_first(have, hasher)
        if hasher.hexdigest() != file.digest.value:
            part.drop()
            if have:
                raise Transient(f"what was there of {url} does not fit the rest")
            raise IntegrityError(
                f"{url} has the SHA-256 {hasher.hexdigest()}, but its manifest says "
                f"{file.digest.value}. If it is being published now, try again later; "
                "otherwise publish the bundle anew, its manifest last."
            )

    def _get(self, path: str, etag: str | None, have: int) -> GetObjectOutputTypeDef:
        key = self._key(path)
        if etag is None or not have:
            return self._client.get_object(Bucket=self.bucket, Key=key)
        return self._client.get_object(
            Bucket=self.bucket, Key=key, Range=f"bytes={have}-", IfMatch=etag
        )

    def _key(self, path: str) -> str:
        return f"{self.prefix}/{path}" if self.prefix else path

    def _with_retries(self, path: str, attempt: Callable[[], _T]) -> _T:
        retry = self._retry
        url = f"{self.url}/{path}"

        def announce(state: tenacity.RetryCallState) -> None:
            reason = state.outcome.exception() if state.outcome else None
            self._progress(
                f"attempt {state.attempt_number} of {retry.attempts} at {url} failed: {reason}"
            )

        try:
            return tenacity.Retrying(
                stop=tenacity.stop_after_attempt(retry.attempts),
                wait=tenacity.wait_random_exponential(retry.base_seconds, retry.max_seconds),
                retry=tenacity.retry_if_exception_type(Transient),
                sleep=retry.sleep,
                before_sleep=announce,
                reraise=True,
            )(attempt)
        except Transient as exc:
            raise SourceError(
                f"{url} can't be fetched: gave up after {retry.attempts} attempts, the last of "
                f"which failed with: {exc}. Check the network and the endpoint and start again: "
                "what was fetched is kept. A copy fetched before is used with --offline."
            ) from exc

    @contextlib.contextmanager
    def _translated(self, url: str, changed: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Turn boto's errors into ours; `changed` is called if the object is no longer the same."""
        try:
            yield
        except (botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError) as exc:
            error = translate(exc, url=url, bucket=self.bucket)
            if isinstance(error, Transient) and error.changed:
                changed()
            raise error from exc


class Part:
    """A file being made: `NAME.part` and, with the ETag of its object, `NAME.part.etag`."""

    def __init__(self, destination: Path) -> None:
        self._destination = destination
        self._path = destination.with_name(f"{destination.name}.part")
        self._etag = destination.with_name(f"{destination.name}.part.etag")

    def state(self, max_bytes: int) -> tuple[str | None, int]:
        """ETag and size of what is there; (None, 0) if it can't be gone on with."""
        try:
            etag = self._etag.read_text("ascii")
            size = self._path.stat().st_size
        except (FileNotFoundError, UnicodeDecodeError):
            return None, 0
        return (etag, size) if etag and size <= max_bytes else (None, 0)

    def write(
        self, chunks: Iterator[bytes], hasher: hashlib._Hash, *, have: int, etag: str
    ) -> None:
        """Append chunks to the first `have` bytes, hashing all."""
        if have:
            self.hash_first(have, hasher)
        else:
            self.drop()
            self._etag.write_text(etag, "ascii")
        with self._path.open("ab" if have else "wb") as file:
            for chunk in chunks:
                file.write(chunk)
                hasher.update(chunk)

    def hash_first(self, size: int, hasher: hashlib._Hash) -> None:
        """Hash the first bytes of what is there."""
        with self._path.open("rb") as file:
            while size > 0 and (chunk := file.read(min(size, _CHUNK_BYTES))):
                hasher.update(chunk)
                size -= len(chunk)

    def drop(self) -> None:
        """Forget what is there."""
        self._etag.unlink(missing_ok=True)
        self._path.unlink(missing_ok=True)

    def finish(self) -> None:
        """Give the file its final name."""
        self._path.replace(self._destination)
        self._etag.unlink(missing_ok=True)


def _resumes(response: GetObjectOutputTypeDef) -> bool:
    """Whether this is the asked-for rest; a server may ignore a range and send all."""
    return response["ResponseMetadata"]["HTTPStatusCode"] == 206


def _object_bytes(response: GetObjectOutputTypeDef) -> int:
    """Size of the whole object."""
    if _resumes(response):
        return int(response["ContentRange"].rsplit("/", 1)[-1])
    return response["ContentLength"]


def _check_size(url: str, actual: int, file: ExpectedFile, part: Part) -> None:
    if actual != file.bytes:
        part.drop()
        raise IntegrityError(
            f"{url} has {actual} bytes, but its manifest says {file.bytes}. If it is being "
            "published now, try again later; otherwise publish the bundle anew, its manifest last."
        )
