"""`s3://` over a bad network: resumed, bounded, and never a wrong file under its final name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from engine.errors import IntegrityError, SourceError
from tests.engine.sources.bundles import bundle_contents, read_files
from tests.engine.sources.conftest import BUCKET, Resolve
from tests.engine.sources.proxy import Answer, Proxy, cut_after, error, replace_body

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

Publish = Callable[..., dict[str, bytes]]
SOURCE = f"s3://{BUCKET}/small"
BIG = "model.onnx_data"


def left_in(cache: Path, suffix: str = "") -> list[str]:
    """Names of the files below the cache that end so, in order."""
    found = (path for path in cache.rglob(f"*{suffix}") if path.is_file())
    return sorted(path.name for path in found if not path.name.endswith(".lock"))


def test_a_broken_stream_goes_on_where_it_broke(
    publish: Publish, fetch: Resolve, proxy: Proxy, waits: list[float]
) -> None:
    contents = publish()
    proxy.faults[BIG] = [cut_after(2_500_000), error(500, "InternalError")]
    assert read_files(fetch(SOURCE)) == contents
    first, refused, second = proxy.asked_for(BIG)
    assert (first.range, first.if_match) == (None, None)
    assert refused == second
    assert second.range is not None
    resumed_at = int(second.range.removeprefix("bytes=").removesuffix("-"))
    assert 0 < resumed_at <= 2_500_000
    assert second.if_match is not None
    assert len(waits) == 2


def test_a_later_process_goes_on_where_an_earlier_one_gave_up(
    publish: Publish, fetch: Resolve, proxy: Proxy, cache: Path
) -> None:
    contents = publish()
    proxy.faults[BIG] = [cut_after(2_500_000), *[error(503, "SlowDown")] * 3]
    with pytest.raises(SourceError):
        fetch(SOURCE)
    assert left_in(cache, ".part") == [f"{BIG}.part"]
    proxy.seen.clear()
    assert read_files(fetch(SOURCE)) == contents
    assert [seen.range is not None for seen in proxy.asked_for(BIG)] == [True]
    assert not proxy.asked_for("tokenizer.json")
    assert left_in(cache, ".part") == []


def test_attempts_are_bounded_and_waits_have_full_jitter(
    publish: Publish, fetch: Resolve, proxy: Proxy, waits: list[float], lines: list[str]
) -> None:
    publish()
    proxy.faults[BIG] = [error(500, "InternalError")] * 9
    with pytest.raises(SourceError, match=r"gave up after 4 attempts.*InternalError.*offline"):
        fetch(SOURCE)
    assert len(proxy.asked_for(BIG)) == 4
    assert len(waits) == 3
    assert all(0 <= wait <= 0.5 * 2**n for n, wait in enumerate(waits))
    assert len([line for line in lines if line.startswith("attempt ")]) == 3


def test_the_manifest_is_tried_again_too(publish: Publish, fetch: Resolve, proxy: Proxy) -> None:
    contents = publish()
    proxy.faults["manifest.json"] = [error(503, "SlowDown"), cut_after(10)]
    assert read_files(fetch(SOURCE)) == contents


def test_a_server_that_is_not_there_is_named_after_bounded_attempts(
    fetch: Resolve, s3: S3Client, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(SourceError, match=r"gave up after 4 attempts.*127.0.0.1:1"):
        fetch(SOURCE)
    assert len(waits) == 3


def test_what_is_refused_is_not_tried_again(
    publish: Publish, fetch: Resolve, proxy: Proxy, waits: list[float]
) -> None:
    publish()
    proxy.faults[BIG] = [error(403, "AccessDenied")]
    with pytest.raises(SourceError, match=f"{SOURCE}/{BIG} may not be read"):
        fetch(SOURCE)
    assert waits == []


def test_an_object_with_another_hash_is_never_used(
    publish: Publish, fetch: Resolve, proxy: Proxy, cache: Path
) -> None:
    publish()
    proxy.faults[BIG] = [replace_body(lambda body: body[:-1] + bytes([body[-1] ^ 1]))]
    with pytest.raises(IntegrityError, match=f"{SOURCE}/{BIG} has the SHA-256 .*manifest says"):
        fetch(SOURCE)
    assert [name for name in left_in(cache) if name.startswith(BIG)] == []


def test_a_short_object_is_refused_before_it_is_read(
    publish: Publish, s3: S3Client, fetch: Resolve, cache: Path
) -> None:
    contents = publish()
    s3.put_object(Bucket=BUCKET, Key=f"small/{BIG}", Body=contents[BIG][:-1])
    with pytest.raises(IntegrityError, match="has 2999999 bytes, but its manifest says 3000000"):
        fetch(SOURCE)
    assert [name for name in left_in(cache) if name.startswith(BIG)] == []


def test_an_object_that_changed_in_between_is_fetched_from_its_start(
    publish: Publish, s3: S3Client, fetch: Resolve, proxy: Proxy
) -> None:
    contents = publish()
    s3.put_object(Bucket=BUCKET, Key=f"small/{BIG}", Body=bytes(len(contents[BIG])))

    def cut_and_change(answer: Answer) -> Answer:
        s3.put_object(Bucket=BUCKET, Key=f"small/{BIG}", Body=contents[BIG])
        return cut_after(2_500_000)(answer)

    proxy.faults[BIG] = [cut_and_change]
    assert read_files(fetch(SOURCE)) == contents
    assert [seen.range is None for seen in proxy.asked_for(BIG)] == [True, False, True]


def test_a_server_that_ignores_the_range_is_read_from_its_start(
    publish: Publish, fetch: Resolve, proxy: Proxy
) -> None:
    contents = publish()

    def whole(answer: Answer) -> Answer:
        headers = [
            (k, v)
            for k, v in answer.headers
            if k.lower() not in ("content-length", "content-range")
        ]
        length = ("Content-Length", str(len(contents[BIG])))
        return Answer(200, [*headers, length], contents[BIG])

    proxy.faults[BIG] = [cut_after(2_500_000), whole]
    assert read_files(fetch(SOURCE)) == contents


def test_a_damaged_part_is_given_up_for_a_whole_fetch(
    publish: Publish, fetch: Resolve, proxy: Proxy, cache: Path
) -> None:
    contents = publish()
    proxy.faults[BIG] = [cut_after(2_500_000), *[error(500, "InternalError")] * 3]
    with pytest.raises(SourceError):
        fetch(SOURCE)
    part = next(cache.rglob(f"{BIG}.part"))
    part.write_bytes(bytes(part.stat().st_size))
    assert read_files(fetch(SOURCE)) == contents


@pytest.mark.parametrize("size", [3_000_000, 3_000_001])
def test_a_part_of_full_size_or_more_is_verified_not_trusted(
    publish: Publish, fetch: Resolve, proxy: Proxy, cache: Path, size: int
) -> None:
    contents = publish()
    proxy.faults[BIG] = [cut_after(2_500_000), *[error(500, "InternalError")] * 3]
    with pytest.raises(SourceError):
        fetch(SOURCE)
    next(cache.rglob(f"{BIG}.part")).write_bytes(bytes(size))
    assert read_files(fetch(SOURCE)) == contents


def test_a_file_published_before_its_manifest_is_refused(
    publish: Publish, s3: S3Client, fetch: Resolve
) -> None:
    publish(seed=1)
    s3.put_object(Bucket=BUCKET, Key="small/model.onnx", Body=bundle_contents(2)["model.onnx"])
    with pytest.raises(IntegrityError, match="being published now, try again later"):
        fetch(SOURCE)
