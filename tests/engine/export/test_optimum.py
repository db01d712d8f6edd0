"""An architecture without an exporter here, through optimum and torch, where they are installed."""

from __future__ import annotations

import importlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.export.exporter import export
from engine.export.model_source import Opening
from engine.export.optimum_export import is_installed
from engine.export.options import ExportOptions
from engine.export.source_kinds import open_source
from engine.golden import GoldenSet, closeness
from engine.model import FileRole, sha256_of
from engine.types import FloatArray, Pooling
from tests.engine.export.conftest import SMALL_BERT

pytestmark = [
    pytest.mark.skipif(
        not is_installed(),
        reason="not checked: exports through optimum, as optimum and torch are not installed",
    ),
    pytest.mark.filterwarnings("ignore"),  # torch's and transformers' own
]
OPTIONS = ExportOptions(pooling=Pooling.MEAN)


@pytest.fixture(scope="module")
def distilbert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint with random weights, and with the tokenizer of the small BERT."""
    torch: Any = importlib.import_module("torch")
    transformers: Any = importlib.import_module("transformers")
    directory = tmp_path_factory.mktemp("distilbert")
    vocabulary_size = json.loads((SMALL_BERT / "config.json").read_bytes())["vocab_size"]
    torch.manual_seed(0)
    sizes = {"dim": 64, "n_heads": 4, "n_layers": 2, "hidden_dim": 128}
    config = transformers.DistilBertConfig(
        vocab_size=vocabulary_size, max_position_embeddings=256, **sizes
    )
    transformers.DistilBertModel(config).save_pretrained(directory)
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt"):
        shutil.copy(SMALL_BERT / name, directory)
    return directory


def mean_vectors(checkpoint: Path, golden: GoldenSet) -> FloatArray:
    """What torch computes for the golden texts, one at a time."""
    torch: Any = importlib.import_module("torch")
    transformers: Any = importlib.import_module("transformers")
    model = transformers.AutoModel.from_pretrained(checkpoint).eval()
    with torch.inference_mode():
        hidden = [
            model(torch.from_numpy(text.input_ids.astype(np.int64))[None]).last_hidden_state[0]
            for text in golden.texts
        ]
    vectors: FloatArray = np.stack([each.mean(0).numpy() for each in hidden])
    return vectors


def test_a_bundle_of_it_has_torchs_vectors(distilbert: Path, tmp_path: Path) -> None:
    bundle = export(distilbert, tmp_path / "bundle", OPTIONS, print)
    entry = bundle.manifest.file(FileRole.GOLDEN)
    assert entry is not None
    golden = GoldenSet.load(bundle.path(entry))
    assert bundle.manifest.architecture == "distilbert"
    assert bundle.manifest.file(FileRole.ONNX, "fp32") is not None
    expected = mean_vectors(distilbert, golden)
    assert closeness(expected, golden.vectors).min_cosine >= 0.99999


def test_its_space_is_that_of_the_weights(distilbert: Path, tmp_path: Path) -> None:
    """Not of the ONNX file, which another torch writes otherwise."""
    source = open_source(Opening(distilbert, tmp_path, OPTIONS, print))
    assert source.weights_sha256 == sha256_of(distilbert / "model.safetensors")
