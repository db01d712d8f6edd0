"""A model may say that its vectors are cut where a request says nothing of their size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from engine.engine import Engine
from engine.errors import DimensionsError
from engine.export.exporter import export
from engine.export.options import ExportOptions
from engine.model import Manifest, fingerprint
from engine.testing import fake_engine
from engine.types import Pooling
from tests.golden.overlay import copy_with

_STATED = {"config_sentence_transformers.json": {"set": {"truncate_dim": 16}}}


def _manifest(**changes: object) -> Manifest:
    with fake_engine() as engine:
        document = engine.manifest.model_dump(by_alias=True)
    return Manifest.model_validate(document | changes)


def test_vectors_have_the_stated_size_and_the_whole_can_be_asked_for(tmp_path: Path) -> None:
    checkpoint = copy_with("bert", _STATED, tmp_path / "checkpoint")
    options = ExportOptions(onnx=("fp32",), gguf=(), matryoshka_dimensions=(32,))
    bundle = export(checkpoint, tmp_path / "bundle", options, lambda _: None)
    assert (bundle.manifest.dimensions, bundle.manifest.default_dimensions) == (64, 16)
    with Engine.open(bundle.directory) as engine:
        part = engine.embed("bread").vectors[0]
        whole = engine.embed("bread", dimensions=64).vectors[0]
        assert engine.embed("bread", dimensions=32).vectors.shape == (1, 32)
        assert engine.embed("bread", dimensions=16).vectors[0].tolist() == part.tolist()
        with pytest.raises(DimensionsError, match="64"):
            engine.embed("bread", dimensions=8)
    assert part.shape == (16,)
    assert np.allclose(part, whole[:16] / np.linalg.norm(whole[:16]), atol=1e-6)


def test_a_manifest_without_it_is_one_that_earlier_versions_read() -> None:
    assert "default_dimensions" not in _manifest().to_json()
    assert '"default_dimensions": 2' in _manifest(default_dimensions=2).to_json()
    stated = _manifest(default_dimensions=2)
    assert Manifest.model_validate_json(stated.to_json()) == stated


def test_it_is_within_the_whole() -> None:
    dimensions = _manifest().dimensions
    assert _manifest(default_dimensions=dimensions).output_dimensions == dimensions
    with pytest.raises(ValidationError, match="default_dimensions"):
        _manifest(default_dimensions=dimensions + 1)


def test_it_is_part_of_the_space_only_where_there_is_one() -> None:
    def space(default_dimensions: int | None) -> str:
        return fingerprint(
            weights_sha256="0" * 64,
            tokenizer_sha256="1" * 64,
            pooling=Pooling.MEAN,
            normalize=True,
            max_input_tokens=8,
            prompts={},
            default_dimensions=default_dimensions,
        )

    assert len({space(None), space(16), space(8)}) == 3
    assert space(None) == "2578fbcdfaec13d9aa25dfad2c161d22"  # as before there were such
