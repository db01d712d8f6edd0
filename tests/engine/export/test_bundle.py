from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from engine import Engine
from engine.errors import ExportError
from engine.export.bundle import write_bundle
from engine.export.options import ExportOptions
from engine.golden import GoldenSet
from engine.model import FileRole, ModelBundle
from engine.types import Pooling
from tests.engine.export.conftest import SMALL_BERT

OPTIONS = ExportOptions(name="small")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> ModelBundle:
    directory = tmp_path_factory.mktemp("bundle")
    write_bundle(SMALL_BERT, directory, OPTIONS, print)
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
    rows = {row.path: row for row in certificate.files if row.backend != "openvino"}
    has_llama_cpp = importlib.util.find_spec("llama_cpp") is not None
    assert set(rows) == {"model.onnx"} | ({"model.gguf"} if has_llama_cpp else set())
    assert all(row.passed for row in rows.values())
    assert rows["model.onnx"].min_cosine >= 0.99999


def test_golden_texts_fit_the_model(bundle: ModelBundle) -> None:
    golden = GoldenSet.load(bundle.directory / "golden.json")
    assert len(golden.texts) == 64
    assert max(text.input_ids.size for text in golden.texts) <= 256


def test_the_same_checkpoint_gives_the_same_files(bundle: ModelBundle, tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    again = write_bundle(SMALL_BERT, tmp_path / "x", OPTIONS, print)
    assert again.fingerprint == bundle.manifest.fingerprint
    assert again.files == bundle.manifest.files


def test_progress_says_each_step(tmp_path: Path) -> None:
    lines: list[str] = []
    (tmp_path / "x").mkdir()
    write_bundle(SMALL_BERT, tmp_path / "x", OPTIONS, lines.append)
    numbered = [line[:5] for line in lines if line.startswith("[")]
    assert numbered == ["[1/5]", "[2/5]", "[3/5]", "[4/5]", "[5/5]"]


def test_without_pooling_there_is_no_bundle(bert_directory: Path, tmp_path: Path) -> None:
    (bert_directory / "modules.json").unlink()
    with pytest.raises(ExportError, match="--pooling"):
        write_bundle(bert_directory, tmp_path / "x", ExportOptions(), print)


def test_a_default_prompt_goes_before_the_golden_texts(
    bert_directory: Path, tmp_path: Path
) -> None:
    sentence = {"prompts": {"q": "query: ", "d": ""}, "default_prompt_name": "q"}
    (bert_directory / "config_sentence_transformers.json").write_text(json.dumps(sentence))
    (tmp_path / "x").mkdir()
    manifest = write_bundle(bert_directory, tmp_path / "x", OPTIONS, print)
    assert (manifest.default_prompt_name, manifest.prompts) == ("q", {"q": "query: ", "d": ""})
    with Engine.open(tmp_path / "x") as engine:
        text, *_ = GoldenSet.load(tmp_path / "x" / "golden.json").texts
        expected = engine.tokenizer.encode(text.text, prompt_name="q")[0].input_ids
        assert expected.tolist() == text.input_ids.tolist()


def test_the_stored_tokenizer_neither_pads_nor_cuts(bundle: ModelBundle) -> None:
    document = json.loads((bundle.directory / "tokenizer.json").read_bytes())
    assert (document["truncation"], document["padding"]) == (None, None)
