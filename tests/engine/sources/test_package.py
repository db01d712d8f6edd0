"""Installed packages, laid out as a wheel's installer lays them out."""

from __future__ import annotations

import base64
import hashlib
import sys
from pathlib import Path

import pytest

from engine.errors import IntegrityError, SourceError
from engine.sources import FileFilter
from tests.engine.sources.bundles import LAMBDA_ROLES, bundle_contents, write_files
from tests.engine.sources.conftest import Resolve

CHECKPOINT = {
    "small_model/__init__.py": b"raise RuntimeError('imported')",
    "small_model/model/config.json": b"{}",
    "small_model/model/1_Pooling/config.json": b"{}",
    "small_model/model/model.safetensors": b"weights",
}


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(tmp_path / "site")
    return tmp_path / "site"


def install(site: Path, files: dict[str, bytes], *, hashes: bool = True) -> None:
    """Write the files and the record of `small-model` 1.0."""
    rows = ["small_model-1.0.dist-info/RECORD,,"]
    for path, content in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        rows.append(f"{path},sha256={digest},{len(content)}" if hashes else f"{path},,")
    info = {
        "small_model-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: small-model\n",
        "small_model-1.0.dist-info/RECORD": "\n".join(rows).encode(),
    }
    write_files(site, files | info)


def test_a_checkpoint_is_found_without_importing_the_package(site: Path, fetch: Resolve) -> None:
    install(site, CHECKPOINT)
    assert fetch("package:Small_Model") == site / "small_model" / "model"
    assert "small_model" not in sys.modules


def test_a_bundle_in_a_package_is_found(site: Path, fetch: Resolve) -> None:
    contents = {f"small_model/{name}": content for name, content in bundle_contents().items()}
    install(site, contents)
    wanted = FileFilter(roles=LAMBDA_ROLES, precision="fp32")
    assert fetch("package:small-model", files=wanted, offline=True) == site / "small_model"


@pytest.mark.parametrize("name", ["absent-model", "", "a b"])
def test_a_package_that_is_not_installed_is_named(fetch: Resolve, name: str) -> None:
    with pytest.raises(SourceError, match=f"package '{name}' is not installed"):
        fetch(f"package:{name}")


def test_an_altered_file_is_refused(site: Path, fetch: Resolve) -> None:
    install(site, CHECKPOINT)
    (site / "small_model/model/model.safetensors").write_bytes(b"Weights")
    with pytest.raises(IntegrityError, match=r"model.safetensors has the sha256.*Install the pack"):
        fetch("package:small-model")


def test_a_missing_file_is_refused(site: Path, fetch: Resolve) -> None:
    install(site, CHECKPOINT)
    (site / "small_model/model/1_Pooling/config.json").unlink()
    with pytest.raises(IntegrityError, match=r"config.json is missing.*Install the package"):
        fetch("package:small-model")


def test_a_record_without_hashes_is_refused(site: Path, fetch: Resolve) -> None:
    install(site, CHECKPOINT, hashes=False)
    with pytest.raises(IntegrityError, match="no SHA-256 and size"):
        fetch("package:small-model")


def test_a_package_without_a_model_is_refused(site: Path, fetch: Resolve) -> None:
    install(site, {"small_model/__init__.py": b""})
    with pytest.raises(SourceError, match=r"must list one directory with .* but lists: none"):
        fetch("package:small-model")


def test_a_package_with_two_models_is_refused(site: Path, fetch: Resolve) -> None:
    second = {path.replace("/model/", "/other/"): content for path, content in CHECKPOINT.items()}
    install(site, CHECKPOINT | second)
    with pytest.raises(SourceError, match="small_model/model, small_model/other"):
        fetch("package:small-model")


def test_a_filter_on_a_checkpoint_is_refused(site: Path, fetch: Resolve) -> None:
    install(site, CHECKPOINT)
    with pytest.raises(SourceError, match="is not a bundle"):
        fetch("package:small-model", files=FileFilter(precision="fp32"))
