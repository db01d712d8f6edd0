"""Paths on this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.errors import IntegrityError, SourceError
from engine.sources import FileFilter
from tests.engine.sources.bundles import LAMBDA_ROLES, bundle_contents, write_files
from tests.engine.sources.conftest import Resolve


def test_a_bundle_is_its_own_directory_and_no_cache_is_made(
    tmp_path: Path, fetch: Resolve, cache: Path
) -> None:
    directory = write_files(tmp_path / "bundle", bundle_contents())
    assert fetch(str(directory)) == directory
    assert fetch(str(directory), offline=True) == directory
    assert fetch(f"path:{directory}", files=FileFilter(roles=LAMBDA_ROLES)) == directory
    assert not cache.exists()


def test_a_relative_path_becomes_absolute(
    tmp_path: Path, fetch: Resolve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(write_files(tmp_path / "bundle", bundle_contents()))
    assert fetch(".") == tmp_path / "bundle"


def test_a_file_is_a_source(tmp_path: Path, fetch: Resolve) -> None:
    file = tmp_path / "model.gguf"
    file.write_bytes(b"GGUF")
    assert fetch(str(file)) == file


def test_a_path_with_nothing_there_is_named(tmp_path: Path, fetch: Resolve) -> None:
    with pytest.raises(SourceError, match=r"There is nothing at .*absent"):
        fetch(str(tmp_path / "absent"))


def test_a_short_file_of_a_bundle_is_refused(tmp_path: Path, fetch: Resolve) -> None:
    contents = bundle_contents()
    contents["model.onnx"] = contents["model.onnx"][:-1]
    with pytest.raises(IntegrityError, match=r"model.onnx has 399 bytes"):
        fetch(str(write_files(tmp_path / "bundle", contents)))


def test_a_bundle_without_what_is_wanted_is_refused(tmp_path: Path, fetch: Resolve) -> None:
    directory = write_files(tmp_path / "bundle", bundle_contents())
    with pytest.raises(SourceError, match="no file of precision q4"):
        fetch(str(directory), files=FileFilter(precision="q4"))


def test_a_filter_on_what_is_no_bundle_is_refused(tmp_path: Path, fetch: Resolve) -> None:
    with pytest.raises(SourceError, match="is not a bundle"):
        fetch(str(tmp_path), files=FileFilter(precision="fp32"))
