from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from engine.errors import ExportError
from engine.export.bundle import write_bundle
from engine.export.checkpoint import Checkpoint
from engine.golden import GoldenSet
from engine.model import FileRole, ModelBundle
from engine.types import Pooling


@pytest.fixture(scope="module")
def bundle(small_bert: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> ModelBundle:
    directory = tmp_path_factory.mktemp("bundle")
    write_bundle(small_bert, directory, name="small", progress=print)
    return ModelBundle.open(directory)


def test_the_bundle_opens_and_its_hashes_hold(bundle: ModelBundle) -> None:
    bundle.verify_hashes()
    assert {entry.role for entry in bundle.manifest.files} == set(FileRole)


def test_every_file_is_listed(bundle: ModelBundle) -> None:
    listed = {entry.path for entry in bundle.manifest.files} | {"manifest.json"}
    assert {path.name for path in bundle.directory.iterdir()} == listed


def test_the_manifest_says_what_the_checkpoint_says(bundle: ModelBundle) -> None:
    manifest = bundle.manifest
    assert (manifest.name, manifest.architecture) == ("small", "bert")
    assert (manifest.pooling, manifest.normalize) == (Pooling.CLS, True)
    assert (manifest.dimensions, manifest.max_input_tokens) == (64, 256)
    assert manifest.vocabulary_size == 1520


def test_the_certificate_was_measured_and_passed(bundle: ModelBundle) -> None:
    certificate = bundle.manifest.certificate
    assert certificate is not None
    (row,) = certificate.files
    assert (row.path, row.backend, row.passed) == ("model.onnx", "onnx", True)
    assert row.min_cosine >= 0.99999


def test_golden_texts_fit_the_model(bundle: ModelBundle) -> None:
    golden = GoldenSet.load(bundle.directory / "golden.json")
    assert len(golden.texts) == 64
    assert max(text.input_ids.size for text in golden.texts) <= 256


def test_the_same_checkpoint_gives_the_same_files(
    bundle: ModelBundle, small_bert: Checkpoint, tmp_path: Path
) -> None:
    again = write_bundle(small_bert, tmp_path, name="small", progress=print)
    assert again.fingerprint == bundle.manifest.fingerprint
    assert again.files == bundle.manifest.files


def test_progress_says_each_step(small_bert: Checkpoint, tmp_path: Path) -> None:
    lines: list[str] = []
    write_bundle(small_bert, tmp_path, name="small", progress=lines.append)
    assert [line[:5] for line in lines] == ["[1/4]", "[2/4]", "[3/4]", "[4/4]"]


def test_without_pooling_there_is_no_bundle(small_bert: Checkpoint, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="pooling"):
        write_bundle(replace(small_bert, pooling=None), tmp_path, name="x", progress=print)


def test_a_default_prompt_is_refused(small_bert: Checkpoint, tmp_path: Path) -> None:
    prompted = replace(small_bert, prompts={"q": "query: "}, default_prompt_name="q")
    with pytest.raises(ExportError, match="'q'"):
        write_bundle(prompted, tmp_path, name="x", progress=print)


def test_the_stored_tokenizer_neither_pads_nor_cuts(bundle: ModelBundle) -> None:
    document = json.loads((bundle.directory / "tokenizer.json").read_bytes())
    assert (document["truncation"], document["padding"]) == (None, None)
