"""`s3://` against a real S3 API: what is fetched, when, and what is said when it can't be."""

from __future__ import annotations

import hashlib
import http.client
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from engine.errors import IntegrityError, ManifestError, SourceError
from engine.model import MANIFEST_NAME, FileRole, ModelBundle
from engine.sources import FileFilter
from tests.engine.sources.bundles import LAMBDA_ROLES, read_files
from tests.engine.sources.conftest import BUCKET, Resolve
from tests.engine.sources.proxy import Proxy

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

Publish = Callable[..., dict[str, bytes]]
SOURCE = f"s3://{BUCKET}/small"
LAMBDA = FileFilter(roles=LAMBDA_ROLES, precision="fp32")


def test_fetches_a_bundle_into_a_directory_named_by_its_manifest(
    publish: Publish, fetch: Resolve, cache: Path
) -> None:
    contents = publish()
    directory = fetch(SOURCE)
    assert read_files(directory) == contents
    assert directory == cache / "sources" / hashlib.sha256(contents[MANIFEST_NAME]).hexdigest()
    assert ModelBundle.open(directory).directory == directory


def test_a_bundle_at_the_top_of_a_bucket_is_found(
    publish: Publish, s3: S3Client, fetch: Resolve
) -> None:
    contents = publish()
    for name, content in contents.items():
        s3.put_object(Bucket=BUCKET, Key=name, Body=content)
    assert fetch(f"s3://{BUCKET}") == fetch(f"s3://{BUCKET}/") == fetch(SOURCE)


def test_leaves_no_staging_behind(publish: Publish, fetch: Resolve, cache: Path) -> None:
    publish()
    directory = fetch(SOURCE)
    names = {path.name for path in (cache / "sources").iterdir()}
    assert names - {f".{directory.name}.lock"} == {directory.name, "newest"}


def test_fetches_only_the_wanted_files(publish: Publish, fetch: Resolve, proxy: Proxy) -> None:
    contents = publish()
    directory = fetch(SOURCE, files=LAMBDA)
    fetched = read_files(directory)
    manifest = fetched.pop(MANIFEST_NAME)
    wanted = {"tokenizer.json", "golden.json", "model.onnx", "model.onnx_data"}
    assert fetched == {name: contents[name] for name in wanted}
    assert {row["path"] for row in json.loads(manifest)["files"]} == wanted
    assert not proxy.asked_for("model.gguf")
    assert not proxy.asked_for("model.int8.onnx")
    assert ModelBundle.open(directory).manifest.fingerprint == f"{1:032x}"


def test_a_part_of_a_bundle_is_another_entry_than_all_of_it(
    publish: Publish, fetch: Resolve
) -> None:
    contents = publish()
    part = fetch(SOURCE, files=LAMBDA)
    assert read_files(fetch(SOURCE)) == contents
    assert fetch(SOURCE, files=LAMBDA) == part


@pytest.mark.parametrize(
    ("files", "named"),
    [
        (FileFilter(roles=frozenset({FileRole.ONNX}), precision="q8_0"), "onnx of precision q8_0"),
        (FileFilter(precision="f16"), "file of precision f16"),
        (FileFilter(roles=frozenset({FileRole.GGUF}), precision="fp32"), "gguf of precision fp32"),
    ],
)
def test_a_role_or_precision_that_is_not_there_is_refused(
    publish: Publish, fetch: Resolve, files: FileFilter, named: str
) -> None:
    publish()
    with pytest.raises(SourceError, match=f"has no {named}.*model.int8.onnx"):
        fetch(SOURCE, files=files)


def test_a_complete_entry_costs_one_request_for_the_manifest(
    publish: Publish, fetch: Resolve, proxy: Proxy
) -> None:
    publish()
    first = fetch(SOURCE)
    proxy.seen.clear()
    assert fetch(SOURCE) == first
    assert [seen.path for seen in proxy.seen] == [f"/{BUCKET}/small/{MANIFEST_NAME}"]


def test_a_changed_manifest_at_the_source_is_followed(publish: Publish, fetch: Resolve) -> None:
    publish(seed=1)
    old = fetch(SOURCE)
    new_contents = publish(seed=2)
    new = fetch(SOURCE)
    assert new != old
    assert read_files(new) == new_contents


def test_offline_takes_the_newest_copy_without_any_request(
    publish: Publish, fetch: Resolve, proxy: Proxy
) -> None:
    publish(seed=1)
    fetch(SOURCE)
    publish(seed=2)
    newest = fetch(SOURCE)
    publish(seed=3)
    proxy.seen.clear()
    assert fetch(SOURCE, offline=True) == newest
    assert proxy.seen == []


def test_offline_without_a_copy_says_so(publish: Publish, fetch: Resolve, proxy: Proxy) -> None:
    publish()
    fetch(SOURCE)
    proxy.seen.clear()
    with pytest.raises(SourceError, match=r"never fetched with this choice of files.*offline"):
        fetch(SOURCE, files=LAMBDA, offline=True)
    assert proxy.seen == []


def test_a_damaged_copy_is_refused_offline_and_mended_online(
    publish: Publish, fetch: Resolve, proxy: Proxy, lines: list[str]
) -> None:
    contents = publish()
    directory = fetch(SOURCE)
    damaged = bytes(len(contents["model.onnx"]))
    (directory / "model.onnx").write_bytes(damaged)
    with pytest.raises(IntegrityError, match=r"model\.onnx has the sha256 .*without --offline"):
        fetch(SOURCE, offline=True)
    proxy.seen.clear()
    assert read_files(fetch(SOURCE)) == contents
    assert {seen.path.rsplit("/")[-1] for seen in proxy.seen} == {MANIFEST_NAME, "model.onnx"}
    assert any("damaged" in line for line in lines)


def test_a_short_or_missing_file_in_the_cache_is_mended(publish: Publish, fetch: Resolve) -> None:
    contents = publish()
    directory = fetch(SOURCE)
    (directory / "model.gguf").write_bytes(contents["model.gguf"][:-1])
    (directory / "golden.json").unlink()
    assert read_files(fetch(SOURCE)) == contents


def test_a_missing_bucket_is_named(s3: S3Client, fetch: Resolve) -> None:
    with pytest.raises(SourceError, match="there is no bucket 'absent'"):
        fetch("s3://absent/small")


def test_a_missing_bundle_is_named(s3: S3Client, fetch: Resolve, waits: list[float]) -> None:
    with pytest.raises(SourceError, match=f"s3://{BUCKET}/none/manifest.json does not exist"):
        fetch(f"s3://{BUCKET}/none")
    assert waits == []


def test_a_missing_file_of_a_bundle_is_named(
    publish: Publish, s3: S3Client, fetch: Resolve, cache: Path
) -> None:
    publish()
    s3.delete_object(Bucket=BUCKET, Key="small/model.gguf")
    with pytest.raises(SourceError, match=r"small/model\.gguf does not exist"):
        fetch(SOURCE)
    assert not [p for p in (cache / "sources").iterdir() if not p.name.startswith(".")]


def test_access_denied_by_a_real_policy_check_is_explained(
    publish: Publish,
    fetch: Resolve,
    moto_address: tuple[str, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from boto3.session import Session

    publish()
    host, port = moto_address
    iam = Session().client("iam")
    iam.create_user(UserName="nobody")
    key = iam.create_access_key(UserName="nobody")["AccessKey"]

    def require_rights_after(actions: str) -> None:
        connection = http.client.HTTPConnection(host, port)
        connection.request("POST", "/moto-api/reset-auth", actions, {"Content-Type": "text/plain"})
        assert connection.getresponse().status == 200
        connection.close()

    try:
        require_rights_after("0")
        with monkeypatch.context() as patch:
            patch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
            patch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])
            with pytest.raises(SourceError, match=r"may not be read \(AccessDenied.*s3:GetObject"):
                fetch(SOURCE)
    finally:
        require_rights_after("Infinity")
        iam.delete_access_key(UserName="nobody", AccessKeyId=key["AccessKeyId"])
        iam.delete_user(UserName="nobody")
        iam.close()


def test_no_credentials_are_explained(
    publish: Publish, fetch: Resolve, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish()
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(SourceError, match=r"Unable to locate credentials.*AWS_PROFILE"):
        fetch(SOURCE)


def test_an_invalid_manifest_is_refused(s3: S3Client, fetch: Resolve) -> None:
    s3.put_object(Bucket=BUCKET, Key="small/manifest.json", Body=b'{"schema": 99}')
    with pytest.raises(ManifestError, match=f"{SOURCE}/manifest.json is not a valid manifest"):
        fetch(SOURCE)


def test_a_huge_manifest_is_not_read(s3: S3Client, fetch: Resolve) -> None:
    s3.put_object(Bucket=BUCKET, Key="small/manifest.json", Body=bytes((4 << 20) + 1))
    with pytest.raises(IntegrityError, match="4194305 bytes, but at most 4194304 are read"):
        fetch(SOURCE)


@pytest.mark.parametrize("source", ["s3:bucket/prefix", "s3://", "s3://UPPER/x", "s3:///prefix"])
def test_a_malformed_location_is_refused(fetch: Resolve, source: str) -> None:
    with pytest.raises(SourceError, match="not of the form s3://BUCKET/PREFIX"):
        fetch(source)


def test_a_cache_that_cannot_be_written_is_named(
    publish: Publish, fetch: Resolve, cache: Path
) -> None:
    publish()
    cache.write_text("a file where a directory should be")
    with pytest.raises(SourceError, match=r"can't be kept in .*choose another cache directory"):
        fetch(SOURCE)
