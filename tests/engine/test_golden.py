from __future__ import annotations

import base64
import json
import struct
from pathlib import Path

import numpy as np
import pytest

from engine.errors import IntegrityError
from engine.golden import (
    GoldenSet,
    closeness,
    decode_vector,
    encode_vector,
    is_of_quantised,
    minimum_cosine,
    reference_of_weights,
)
from engine.types import FloatArray
from tests.engine.bundles import GOLDEN_TEXTS, golden_row, write_golden

ROW = golden_row("the cat")


def unit_vectors(count: int, dimensions: int) -> FloatArray:
    vectors = np.random.default_rng(3).standard_normal((count, dimensions))
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


def test_golden_texts_read_back_as_written(tmp_path: Path) -> None:
    """Names, texts, ids and vectors are those of the file."""
    path = tmp_path / "golden.json"
    write_golden(path, [golden_row(text) for text in GOLDEN_TEXTS])
    golden = GoldenSet.load(path)
    assert ("numpy", list(GOLDEN_TEXTS), list(GOLDEN_TEXTS)) == (
        golden.reference,
        [text.name for text in golden.texts],
        [text.text for text in golden.texts],
    )
    assert ROW["input_ids"] == golden.texts[0].input_ids.tolist()
    assert ROW["embedding"] == encode_vector(golden.vectors[0])


@pytest.mark.parametrize(
    "row",
    [
        {},
        None,
        "text",
        {**ROW, "embedding": "not base64!"},
        {**ROW, "embedding": "AAAA"},
        {**ROW, "embedding": None},
        {**ROW, "input_ids": "abc"},
        {**ROW, "input_ids": [2**40]},
        {**ROW, "input_ids": []},
        {**ROW, "input_ids": [[1, 2]]},
        {**ROW, "input_ids": [-1]},
        {**ROW, "input_ids": [1.5]},
        {**ROW, "name": None},
        {**ROW, "text": 5},
        {**ROW, "embedding": encode_vector(np.zeros(4, dtype=np.float32))},
        {**ROW, "embedding": encode_vector(np.full(4, np.nan, dtype=np.float32))},
        {**ROW, "embedding": encode_vector(np.ones(3, dtype=np.float32))},
    ],
)
def test_a_bad_golden_text_is_refused(tmp_path: Path, row: object) -> None:
    """Whatever is wrong with a row is a fault of the file."""
    path = tmp_path / "golden.json"
    path.write_text(json.dumps({"reference": "numpy", "texts": [ROW, row]}))
    with pytest.raises(IntegrityError):
        GoldenSet.load(path)


def test_ids_that_the_model_has_no_vector_for_are_refused(tmp_path: Path) -> None:
    """Not every runtime looks before it reads a row of the table."""
    path = tmp_path / "golden.json"
    write_golden(path, [{**ROW, "input_ids": [3, 16]}])
    golden = GoldenSet.load(path)
    golden.check_ids(17)
    with pytest.raises(IntegrityError, match="has the id 16, but the model has 16"):
        golden.check_ids(16)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{}",
        b"\xff",
        b'{"reference": "x", "texts": 5}',
        b'{"texts": []}',
        b"[" * 100_000,
    ],
)
def test_a_file_that_is_no_golden_set_is_refused(tmp_path: Path, content: bytes) -> None:
    """Whatever lies there instead is one clear error."""
    path = tmp_path / "golden.json"
    path.write_bytes(content)
    with pytest.raises(IntegrityError):
        GoldenSet.load(path)


def test_a_set_without_texts_is_refused(tmp_path: Path) -> None:
    """A check against nothing would always pass."""
    path = tmp_path / "golden.json"
    write_golden(path, [])
    with pytest.raises(IntegrityError, match="no golden texts"):
        GoldenSet.load(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    """The system's own error does not get out."""
    with pytest.raises(IntegrityError):
        GoldenSet.load(tmp_path / "golden.json")


def test_the_shortest_texts_are_those_with_the_fewest_tokens(tmp_path: Path) -> None:
    """The check at start takes the cheapest texts."""
    path = tmp_path / "golden.json"
    write_golden(path, [golden_row(text) for text in GOLDEN_TEXTS])
    assert ["red", "the cat"] == [text.name for text in GoldenSet.load(path).shortest(2)]


def test_more_texts_than_there_are_is_all_of_them(tmp_path: Path) -> None:
    """A small set is checked whole."""
    path = tmp_path / "golden.json"
    write_golden(path, [ROW])
    assert 1 == len(GoldenSet.load(path).shortest(5))


def test_a_vector_survives_its_text() -> None:
    """Every bit comes back."""
    vector = np.array([0.1, -0.0, 1e-45, 3.4e38], dtype=np.float32)
    assert vector.tobytes() == decode_vector(encode_vector(vector)).tobytes()


def test_vectors_are_little_endian_base64() -> None:
    """The same bytes on every machine."""
    expected = base64.b64encode(struct.pack("<2f", 0.5, -2)).decode()
    assert expected == encode_vector(np.array([0.5, -2], dtype=np.float32))


def test_equal_vectors_are_as_close_as_can_be() -> None:
    """Cosine 1, difference 0, all neighbours shared."""
    vectors = unit_vectors(20, 8)
    close = closeness(vectors, vectors)
    assert (0.0, 1.0) == (close.max_abs_diff, close.top10_agreement)
    assert pytest.approx(1, abs=1e-12) == close.min_cosine
    assert pytest.approx(1, abs=1e-12) == close.mean_cosine


def test_closeness_is_the_worst_and_the_mean_of_all_rows() -> None:
    """One turned vector out of two is seen in each number."""
    reference = np.array([[1, 0], [1, 0]], dtype=np.float32)
    close = closeness(reference, np.array([[1, 0], [0.6, 0.8]], dtype=np.float32))
    assert pytest.approx((0.6, 0.8, 0.8), abs=1e-6) == (
        close.min_cosine,
        close.mean_cosine,
        close.max_abs_diff,
    )


def test_a_vector_that_is_not_a_number_is_not_close() -> None:
    """NaN must not pass for a large cosine."""
    vectors = unit_vectors(3, 4)
    broken = vectors.copy()
    broken[1] = np.nan
    assert np.isnan(closeness(vectors, broken).min_cosine)


def test_neighbours_are_compared_by_who_they_are() -> None:
    """Of twelve texts on a circle, turning one by half changes whose neighbours it is."""
    angles = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    reference = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    vectors = reference.copy()
    vectors[0] *= -1
    agreement = closeness(reference, vectors).top10_agreement
    assert 0.9 <= agreement < 1


def test_a_single_text_has_no_neighbours_to_disagree_on() -> None:
    """One text agrees with itself."""
    assert 1.0 == closeness(unit_vectors(1, 4), unit_vectors(1, 4)).top10_agreement


@pytest.mark.parametrize("precision", ["fp32", "f32", "f16"])
def test_full_precision_must_reach_the_promise(precision: str) -> None:
    """Same vectors everywhere: cosine >= 0.9999."""
    assert minimum_cosine(precision) >= 0.9999


@pytest.mark.parametrize("precision", ["q6_k", "q4_k_m", "q2_k", "iq3_xxs", "q5_0", "tq1_0"])
def test_a_quantised_gguf_file_computes_its_own_weights(precision: str) -> None:
    """What quantising cost is no part of this bound: rounded activations are."""
    assert minimum_cosine(precision) == 0.995


def test_a_precision_that_is_not_known_has_a_floor() -> None:
    """No file is exempt."""
    assert minimum_cosine("int4") >= 0.95


@pytest.mark.parametrize("precision", ["f32", "f16", "bf16"])
def test_a_reference_of_floats_is_the_model_itself(precision: str) -> None:
    reference = reference_of_weights(precision)
    assert reference == f"numpy, float32, from the source's {precision} weights"
    assert not is_of_quantised(reference)


@pytest.mark.parametrize("precision", ["q8_0", "q4_k_m", "iq3_xxs"])
def test_a_reference_of_a_quantised_file_says_so(precision: str) -> None:
    reference = reference_of_weights(precision)
    assert reference.endswith(f"{precision} weights, against the quantised file itself")
    assert is_of_quantised(reference)


def test_a_reference_that_was_named_before_is_judged_by_its_weights() -> None:
    assert is_of_quantised("numpy, float32, from the source's q8_0 weights")
    assert not is_of_quantised("sentence-transformers 5.1.0")
