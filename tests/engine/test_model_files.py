"""Files that are pipes, devices or too large end in one line at once, wherever they are read."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.errors import BundleError
from engine.export.exporter import export
from engine.export.options import ExportOptions
from engine.gguf_header import GgufHeader
from engine.golden import GoldenSet
from engine.model import MANIFEST_NAME, ModelBundle, sha256_of
from engine.model_files import (
    MAX_GOLDEN_BYTES,
    MAX_MANIFEST_BYTES,
    MAX_TOKENIZER_BYTES,
    open_regular,
    read_bounded,
)
from engine.onnx_external import external_files
from engine.tokenizer import Tokenizer
from tests.engine.bundles import write_bundle
from tests.engine.export.conftest import SMALL_BERT

pytestmark = pytest.mark.timeout(60)
_REFUSED = "not a regular file"


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def _directory(path: Path) -> None:
    path.mkdir()


ODD = pytest.mark.parametrize("make", [_pipe, _device, _directory])


def _huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(3 << 30)  # a hole: it takes no space


def _tokenizer(path: Path) -> None:
    Tokenizer.from_file(
        path,
        vocabulary_size=9,
        max_input_tokens=8,
        max_client_batch_size=1,
        max_request_tokens=8,
        prompts={},
    )


@ODD
@pytest.mark.parametrize("read", [open_regular, lambda path: read_bounded(path, 9), sha256_of])
def test_only_a_regular_file_is_opened(
    tmp_path: Path, make: Callable[[Path], None], read: Callable[[Path], object]
) -> None:
    make(tmp_path / "file")
    with pytest.raises(OSError, match=_REFUSED):
        read(tmp_path / "file")


def test_a_file_of_the_bound_is_read_in_full_and_one_byte_more_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abcd")
    assert read_bounded(path, 4) == b"abcd"
    with pytest.raises(OSError, match="it has 4 bytes, and at most 3 are read"):
        read_bounded(path, 3)


@ODD
@pytest.mark.parametrize("read", [GoldenSet.load, GgufHeader.read, external_files, _tokenizer])
def test_no_reader_of_a_bundle_waits_for_a_pipe_or_reads_a_device(
    tmp_path: Path, make: Callable[[Path], None], read: Callable[[Path], object]
) -> None:
    make(tmp_path / "file")
    with pytest.raises(BundleError, match="file"):
        read(tmp_path / "file")


@pytest.mark.parametrize(
    ("read", "limit"),
    [
        (GoldenSet.load, MAX_GOLDEN_BYTES),
        (_tokenizer, MAX_TOKENIZER_BYTES),
    ],
)
def test_a_huge_file_of_a_bundle_is_refused_by_its_bound(
    tmp_path: Path, read: Callable[[Path], object], limit: int
) -> None:
    _huge(tmp_path / "file")
    with pytest.raises(BundleError, match=rf"file can't be read: .* at most {limit} are read\.$"):
        read(tmp_path / "file")


@ODD
@pytest.mark.parametrize("name", [MANIFEST_NAME, "tokenizer.json"])
def test_a_bundle_with_a_pipe_or_a_device_is_refused(
    tmp_path: Path, make: Callable[[Path], None], name: str
) -> None:
    bundle = write_bundle(tmp_path)
    manifest = json.loads((bundle / MANIFEST_NAME).read_text())
    for row in manifest["files"]:
        row["bytes"] = 0 if row["path"] == name else row["bytes"]  # what stat says of a pipe
    (bundle / MANIFEST_NAME).write_text(json.dumps(manifest))
    (bundle / name).unlink()
    make(bundle / name)
    with pytest.raises(BundleError, match=f"{name} .*{_REFUSED}"):
        ModelBundle.open(bundle)


def test_a_huge_manifest_is_refused_by_its_bound(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path)
    _huge(bundle / MANIFEST_NAME)
    with pytest.raises(BundleError, match=f"{MANIFEST_NAME} .* at most {MAX_MANIFEST_BYTES}"):
        ModelBundle.open(bundle)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads files of any mode: not checked")
def test_a_manifest_that_may_not_be_read_is_told_so(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path)
    (bundle / MANIFEST_NAME).chmod(0)
    with pytest.raises(BundleError, match="Permission denied"):
        ModelBundle.open(bundle)


@pytest.mark.parametrize("make", [_pipe, _device, _huge])
@pytest.mark.parametrize("name", ["modules.json", "tokenizer.json", "tokenizer_config.json"])
def test_no_file_of_a_checkpoint_is_waited_for_or_read_without_end(
    tmp_path: Path, make: Callable[[Path], None], name: str
) -> None:
    source = shutil.copytree(SMALL_BERT, tmp_path / "source")
    (source / name).unlink(missing_ok=True)
    make(source / name)
    with pytest.raises(BundleError, match=f"{name} can't be read: it (is not|has 3221225472)"):
        export(source, tmp_path / "output", ExportOptions(), print)
    assert not (tmp_path / "output").exists()
