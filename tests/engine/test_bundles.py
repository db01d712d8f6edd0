from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from engine import Engine
from engine.bundles import ensure_bundle
from engine.errors import ExportError, IntegrityError, SourceError
from engine.golden import closeness
from tests.torch_golden import GOLDEN, read_torch_golden

CHECKPOINT = GOLDEN / "checkpoints" / "roberta"


def _ensure(source: Path | str, cache: Path, lines: list[str] | None = None) -> Path:
    said = [] if lines is None else lines
    return ensure_bundle(str(source), cache_directory=cache, progress=said.append)


def test_a_checkpoint_is_made_into_a_bundle_once(tmp_path: Path) -> None:
    """The first start makes it, the second only finds it; its vectors are torch's."""
    lines: list[str] = []
    made = _ensure(CHECKPOINT, tmp_path, lines)
    assert [] != lines
    again: list[str] = []
    assert made == _ensure(CHECKPOINT, tmp_path, again)
    assert [] == again
    _is_refused_where_others_may_write(made, tmp_path)
    golden = read_torch_golden(CHECKPOINT / "golden.json")
    with Engine.open(made) as engine:
        vectors = engine.embed([text.input_ids.tolist() for text in golden.texts]).vectors
    assert closeness(golden.vectors, vectors).min_cosine >= 0.9999


def _is_refused_where_others_may_write(made: Path, cache: Path) -> None:
    """Others could have put another model in its place."""
    mode = made.stat().st_mode
    made.chmod(mode | 0o002)
    with pytest.raises(IntegrityError, match=f"chmod -R go-w {made}"):
        _ensure(CHECKPOINT, cache)
    made.chmod(mode)


def test_a_gguf_file_can_be_served(tmp_path: Path) -> None:
    """The GGUF of a bundle, alone, gives the same vectors as the bundle."""
    made = _ensure(CHECKPOINT, tmp_path / "first")
    file = tmp_path / "small.gguf"
    shutil.copy(made / "model.gguf", file)
    with (
        Engine.open(made) as expected,
        Engine.open(_ensure(file, tmp_path / "second")) as actual,
    ):
        ids = [
            text.input_ids.tolist() for text in read_torch_golden(CHECKPOINT / "golden.json").texts
        ]
        cosine = closeness(expected.embed(ids).vectors, actual.embed(ids).vectors).min_cosine
    assert cosine >= 0.9999


def test_another_version_of_a_source_is_another_bundle(tmp_path: Path) -> None:
    """What was made of a file that has changed is not served for the new one."""
    source = tmp_path / "source"
    shutil.copytree(CHECKPOINT, source)
    first = _ensure(source, tmp_path)
    tokens = source / "modules.json"
    tokens.write_text(tokens.read_text("utf-8") + "\n", "utf-8")
    assert first != _ensure(source, tmp_path)


def test_a_bundle_is_served_where_it_is(tmp_path: Path) -> None:
    """Nothing is copied."""
    made = _ensure(CHECKPOINT, tmp_path)
    assert made == _ensure(made, tmp_path / "other")
    assert not (tmp_path / "other").exists()


NAMES = ("all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2")


@pytest.mark.model
@pytest.mark.parametrize("name", NAMES)
def test_the_default_model_is_had_by_its_names(
    name: str, default_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the server prints them; nothing is fetched for that."""
    monkeypatch.chdir(tmp_path)
    for offline in (False, True):
        found = ensure_bundle(
            name, cache_directory=default_bundle.parent, offline=offline, progress=lambda _: None
        )
        assert found == default_bundle


@pytest.mark.parametrize("name", NAMES)
def test_what_lies_at_a_path_goes_before_the_default_model(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = _ensure(CHECKPOINT, tmp_path / "cache")
    monkeypatch.chdir(tmp_path)
    shutil.copytree(made, tmp_path / name)
    assert tmp_path / name == _ensure(name, tmp_path / "cache")


def test_a_path_of_the_default_models_name_stays_a_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SourceError, match="There is nothing at"):
        _ensure(f"./{NAMES[0]}", tmp_path)


def test_a_path_to_nothing_is_one_error(tmp_path: Path) -> None:
    """It says what was looked for."""
    with pytest.raises(SourceError, match="missing-model"):
        _ensure(tmp_path / "missing-model", tmp_path)


def test_what_is_no_model_is_one_error_and_leaves_nothing(tmp_path: Path) -> None:
    """A text file can't be served, and the cache has no half-made bundle."""
    source = tmp_path / "notes.gguf"
    source.write_text("not a model", "utf-8")
    with pytest.raises(ExportError):
        _ensure(source, tmp_path / "cache")
    assert [] == list(tmp_path.rglob("manifest.json"))
