"""A bundle that an earlier version made keeps its space and its vectors.

tests/golden/bundles/unnormalised was made at commit 196b8b1 of a BERT with random weights and
without a Normalize module: its vectors keep their length, and of its prompts the empty one is gone.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from engine.engine import Engine
from engine.errors import UnknownPromptError
from engine.export.exporter import export
from engine.export.options import ExportOptions
from engine.golden import GoldenSet
from tests.torch_golden import GOLDEN

BUNDLE = GOLDEN / "bundles" / "unnormalised"
SPACE = "6590ba0bd04563a195b3d34c7dc67feb"


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine.open(BUNDLE) as opened:
        yield opened


def test_it_keeps_its_fingerprint_and_its_facts(engine: Engine) -> None:
    manifest = engine.manifest
    assert (engine.space, manifest.normalize, manifest.default_dimensions) == (SPACE, False, None)
    assert (manifest.output_dimensions, manifest.listed_dimensions) == (8, (4,))


def test_its_vectors_keep_their_length(engine: Engine) -> None:
    golden = GoldenSet.load(BUNDLE / "golden.json")
    texts = golden.shortest(8)
    found = engine.embed([text.text for text in texts]).vectors
    assert np.allclose(found, np.stack([text.embedding for text in texts]), atol=1e-5)
    assert np.linalg.norm(found, axis=1).min() > 1.05


def test_a_cut_is_normalised_as_a_request_for_dimensions_says(engine: Engine) -> None:
    whole = engine.embed("bread").vectors[0, :4]
    part = engine.embed("bread", dimensions=4).vectors[0]
    assert np.allclose(part, whole / np.linalg.norm(whole), atol=1e-6)


def test_it_has_the_prompts_that_it_was_made_with(engine: Engine) -> None:
    assert engine.embed("bread", prompt_name="query").usage.prompt_tokens > 3
    with pytest.raises(UnknownPromptError):
        engine.embed("bread", prompt_name="document")


def test_an_export_of_it_stays_in_its_space(tmp_path: Path) -> None:
    bundle = export(BUNDLE, tmp_path / "again", ExportOptions(), lambda _: None)
    manifest = bundle.manifest
    assert (manifest.fingerprint, manifest.normalize) == (SPACE, False)
