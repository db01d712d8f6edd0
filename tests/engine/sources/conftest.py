from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest

from engine.sources import FileFilter, S3Retry, resolve
from tests.engine.sources.bundles import bundle_contents
from tests.engine.sources.proxy import Proxy, proxy_to

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

BUCKET = "models"


class Resolve(Protocol):
    """`resolve` with a cache of this test, no waits, and progress lines kept in `lines`."""

    def __call__(
        self, source: str, *, offline: bool = ..., files: FileFilter | None = ...
    ) -> Path: ...


@pytest.fixture(autouse=True)
def _no_files_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test reads the credentials, tokens or caches of whoever runs it."""
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "no-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "no-credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "no-hf"))


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture
def waits() -> list[float]:
    """Seconds that would have been slept."""
    return []


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def fetch(cache: Path, lines: list[str], waits: list[float]) -> Resolve:
    def resolve_here(
        source: str, *, offline: bool = False, files: FileFilter | None = None
    ) -> Path:
        return resolve(
            source,
            cache_directory=cache,
            offline=offline,
            files=files,
            progress=lines.append,
            s3_retry=S3Retry(attempts=4, sleep=waits.append),
        )

    return resolve_here


@pytest.fixture(scope="session")
def moto_address() -> Iterator[tuple[str, int]]:
    """A real S3 API over HTTP."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    yield server.get_host_and_port()
    server.stop()


@pytest.fixture
def s3(moto_address: tuple[str, int], monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Client]:
    """A client of an S3 that has one empty bucket; `resolve` goes there too."""
    from boto3.session import Session

    host, port = moto_address
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    client = Session().client("s3")
    client.create_bucket(Bucket=BUCKET)
    yield client
    for row in client.list_objects_v2(Bucket=BUCKET).get("Contents", []):
        client.delete_object(Bucket=BUCKET, Key=row["Key"])
    client.delete_bucket(Bucket=BUCKET)
    client.close()


@pytest.fixture
def proxy(
    s3: S3Client, moto_address: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Proxy]:
    """Stands between `resolve` and the S3."""
    with proxy_to(*moto_address) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        yield proxy


@pytest.fixture
def publish(s3: S3Client) -> Callable[..., dict[str, bytes]]:
    """Put a bundle below `s3://models/small`."""

    def put(seed: int = 1) -> dict[str, bytes]:
        contents = bundle_contents(seed)
        for name, content in contents.items():
            s3.put_object(Bucket=BUCKET, Key=f"small/{name}", Body=content)
        return contents

    return put
