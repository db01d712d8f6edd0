"""Vectors have length 1 whatever the source, unless the model or the caller wants their lengths."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.export.model_source import ModelSource, Opening
from engine.export.normalization import normalization
from engine.export.options import ExportOptions
from engine.export.source_kinds import open_source
from tests.engine.export.small_models import CHECKPOINTS

_CONFIG = "config_sentence_transformers.json"


@pytest.mark.parametrize(
    ("option", "stated", "similarity", "expected", "said"),
    [
        (None, True, None, True, ""),
        (None, True, "dot", True, ""),
        (None, False, None, True, "leaves vectors not normalised"),
        (None, False, "cosine", True, "leaves vectors not normalised"),
        (None, None, None, True, "does not say whether vectors are normalised"),
        (None, False, "dot", False, "'dot'"),
        (None, False, "euclidean", False, "'euclidean'"),
        (None, None, "manhattan", False, "'manhattan'"),
        (False, True, None, False, ""),
        (True, False, "dot", True, ""),
    ],
)
def test_the_option_decides_then_the_model_then_the_rule(
    option: bool | None,
    stated: bool | None,
    similarity: str | None,
    expected: bool,
    said: str,
) -> None:
    value, notes = normalization(option, stated=stated, similarity=similarity)
    assert value is expected
    assert bool(notes) is bool(said)
    assert all(said in note for note in notes)


def _source(path: Path, work: Path, said: list[str], normalize: bool | None = None) -> ModelSource:
    options = ExportOptions(normalize=normalize)
    return open_source(Opening(path, work, options, said.append))


def _without_normalize(directory: Path, similarity: str | None) -> None:
    modules = json.loads((directory / "modules.json").read_bytes())
    (directory / "modules.json").write_text(json.dumps(modules[:2]))
    if similarity is not None:
        (directory / _CONFIG).write_text(json.dumps({"similarity_fn_name": similarity}))


@pytest.mark.parametrize(("similarity", "expected"), [(None, True), ("dot", False)])
def test_a_checkpoint_and_its_gguf_file_are_one_space(
    similarity: str | None, expected: bool, bert_directory: Path, tmp_path: Path
) -> None:
    _without_normalize(bert_directory, similarity)
    said: list[str] = []
    checkpoint = _source(bert_directory, tmp_path, said)
    file = _source(checkpoint.gguf["f32"], tmp_path, said)
    assert (checkpoint.facts.normalize, file.facts.normalize) == (expected, expected)
    lines = [note for note in said if "vectors are" in note]
    assert len(lines) == len(set(lines)) == 2
    assert set(lines) <= {*checkpoint.notes, *file.notes}


def test_an_option_goes_before_what_a_gguf_file_says(bert_directory: Path, tmp_path: Path) -> None:
    _without_normalize(bert_directory, "dot")
    said: list[str] = []
    path = _source(bert_directory, tmp_path, said).gguf["f32"]
    assert _source(path, tmp_path, said, normalize=True).facts.normalize is True


@pytest.mark.parametrize("name", ["bert", "roberta"])
def test_nothing_is_said_of_a_model_that_normalises(name: str, tmp_path: Path) -> None:
    said: list[str] = []
    source = _source(CHECKPOINTS / name, tmp_path, said)
    assert (source.facts.normalize, [line for line in said if "normalised" in line]) == (True, [])
