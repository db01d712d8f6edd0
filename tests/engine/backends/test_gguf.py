from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.errors import (
    BackendError,
    BundleError,
    ConfigurationError,
    IntegrityError,
    ManifestError,
)
from engine.types import Batch, Encoding, FloatArray, IntArray, Pooling

REASON = "is not installed: the gguf backend was not checked"
llama_cpp: Any = pytest.importorskip("llama_cpp", reason=f"llama-cpp-python {REASON}")
for name in ("gguf", "safetensors"):
    pytest.importorskip(name, reason=f"{name} {REASON}")

# ruff: noqa: E402 - these need what may have been missing above
from engine.backends.gguf import GgufBackend, LlamaVocabulary
from tests.engine.backends.gguf_files import CHECKPOINT, LENGTH, write_bert, write_decoder
from tests.engine.gguf_bytes import STRING, array, gguf_bytes, string, text


def open_backend(
    path: Path,
    pooling: Pooling = Pooling.CLS,
    *,
    max_input_tokens: int = LENGTH,
    max_batch_sequences: int | None = None,
    gpu: bool = False,
) -> GgufBackend:
    return GgufBackend(
        path,
        pooling=pooling,
        precision="f32",
        max_input_tokens=max_input_tokens,
        max_batch_tokens=1024,
        threads=2,
        gpu=gpu,
        max_batch_sequences=max_batch_sequences,
    )


def batch_of(sequences: Sequence[IntArray]) -> Batch:
    return Batch(tuple(Encoding(ids, truncated=False) for ids in sequences))


def vectors(backend: GgufBackend, *sequences: IntArray) -> FloatArray:
    pooled = backend.run(batch_of(sequences)).pooled
    assert pooled is not None
    return np.asarray(pooled / np.linalg.norm(pooled, axis=1, keepdims=True), dtype=np.float32)


def alone(backend: GgufBackend, sequences: Sequence[IntArray]) -> FloatArray:
    return np.concatenate([vectors(backend, ids) for ids in sequences])


def largest_difference_in_batches(
    backend: GgufBackend, sequences: Sequence[IntArray], rounds: int
) -> float:
    """Over random batches of up to 8 sequences in random orders, to each sequence alone."""
    expected = alone(backend, sequences)
    random = np.random.default_rng(7)
    largest = 0.0
    for _ in range(rounds):
        picked = random.permutation(len(sequences))[: random.integers(2, 9)]
        while sum(len(sequences[index]) for index in picked) > 1024:
            picked = picked[1:]
        found = vectors(backend, *[sequences[index] for index in picked])
        largest = max(largest, float(np.abs(found - expected[picked]).max()))
    return largest


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gguf") / "bert.gguf"
    write_bert(path)
    return path


@pytest.fixture(scope="module")
def golden() -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads((CHECKPOINT / "golden.json").read_text())["texts"]
    return rows


@pytest.fixture(scope="module")
def sequences(golden: list[dict[str, Any]]) -> list[IntArray]:
    return [np.array(row["input_ids"], dtype=np.int32) for row in golden]


@pytest.fixture
def backend(bert: Path) -> Iterator[GgufBackend]:
    made = open_backend(bert)
    yield made
    made.close()


@pytest.fixture
def many(bert: Path) -> Iterator[GgufBackend]:
    """Takes many sequences in one run, as on a GPU."""
    made = open_backend(bert, max_batch_sequences=256)
    yield made
    made.close()


def test_its_vectors_are_those_of_torch(
    backend: GgufBackend, golden: list[dict[str, Any]], sequences: list[IntArray]
) -> None:
    reference = np.stack(
        [np.frombuffer(base64.b64decode(row["embedding"]), "<f4") for row in golden]
    )
    assert ((alone(backend, sequences) * reference).sum(axis=1)).min() >= 0.9999


def test_it_says_what_it_is(backend: GgufBackend, many: GgufBackend) -> None:
    assert (backend.name, backend.device, backend.precision) == ("gguf", "cpu", "f32")
    assert (backend.concurrency, backend.dimensions) == (1, 64)
    assert (backend.max_batch_sequences, many.max_batch_sequences) == (1, 256)


def test_a_vector_is_the_same_to_the_bit_whatever_ran_before(
    backend: GgufBackend, sequences: list[IntArray]
) -> None:
    expected = alone(backend, sequences)
    order = np.random.default_rng(3).permutation(len(sequences))
    found = alone(backend, [sequences[index] for index in order])
    np.testing.assert_array_equal(found, expected[order])


def test_random_batches_of_an_encoder_agree_with_each_sequence_alone(
    many: GgufBackend, sequences: list[IntArray]
) -> None:
    assert largest_difference_in_batches(many, sequences, rounds=30) <= 1e-3


def test_random_batches_of_a_decoder_agree_with_each_sequence_alone(
    tmp_path: Path, sequences: list[IntArray]
) -> None:
    write_decoder(tmp_path / "model.gguf", pooling=3)
    backend = open_backend(tmp_path / "model.gguf", Pooling.LAST_TOKEN, max_batch_sequences=8)
    try:
        assert largest_difference_in_batches(backend, sequences, rounds=30) <= 1e-3
    finally:
        backend.close()


def test_256_sequences_fit_in_one_run(many: GgufBackend) -> None:
    short = [np.array([2, 5 + row, 3], dtype=np.int32) for row in range(256)]
    found = vectors(many, *short)
    assert np.abs(found - alone(many, short)).max() <= 1e-3


def test_threads_that_call_at_once_get_their_own_vectors(
    backend: GgufBackend, sequences: list[IntArray]
) -> None:
    expected = alone(backend, sequences)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda ids: vectors(backend, ids), sequences * 4))
    np.testing.assert_array_equal(np.concatenate(found), np.concatenate([expected] * 4))


def test_closing_twice_is_harmless_and_a_run_afterwards_is_refused(
    bert: Path, sequences: list[IntArray]
) -> None:
    backend = open_backend(bert)
    backend.close()
    backend.close()
    with pytest.raises(BackendError, match="closed"):
        vectors(backend, sequences[0])


@pytest.mark.parametrize("unknown_id", [99_999, -1])
def test_a_failed_run_names_its_cause_and_leaves_the_backend_usable(
    backend: GgufBackend, sequences: list[IntArray], unknown_id: int
) -> None:
    expected = vectors(backend, sequences[0])
    with pytest.raises(BackendError, match=r"code -1: .*"):
        vectors(backend, np.array([2, unknown_id, 3], dtype=np.int32))
    np.testing.assert_array_equal(vectors(backend, sequences[0]), expected)


def test_the_cause_is_known_even_where_others_took_the_log(backend: GgufBackend) -> None:
    others = llama_cpp.llama_log_callback(lambda *_: None)
    llama_cpp.llama_log_set(others, None)
    with pytest.raises(BackendError, match=r"invalid token\[1\] = 99999"):
        vectors(backend, np.array([2, 99_999, 3], dtype=np.int32))


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        ([], "needs sequences"),
        ([3, 0], "needs tokens"),
        ([LENGTH + 1], f"{LENGTH + 1} tokens in one sequence; at most {LENGTH}"),
        ([LENGTH] * 4 + [1], "1025 tokens; at most 1024"),
        ([1] * 257, "257 sequences; at most 256"),
    ],
)
def test_a_batch_that_does_not_fit_is_refused_and_not_cut(
    many: GgufBackend, lengths: list[int], message: str
) -> None:
    with pytest.raises(BackendError, match=message):
        many.run(batch_of([np.full(length, 5, dtype=np.int32) for length in lengths]))
    assert vectors(many, np.full(LENGTH, 5, dtype=np.int32)).shape == (1, 64)


@pytest.mark.parametrize("kept", [0, 3, 8, 1000, -1])
def test_a_truncated_file_is_refused(bert: Path, tmp_path: Path, kept: int) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(bert.read_bytes()[:kept])
    with pytest.raises(IntegrityError, match=str(path)):
        open_backend(path)


def test_a_missing_file_and_one_of_another_format_are_refused(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match="No such file"):
        open_backend(tmp_path / "model.gguf")
    (tmp_path / "model.gguf").write_bytes(b"not a model at all")
    with pytest.raises(IntegrityError, match="is not a GGUF file"):
        open_backend(tmp_path / "model.gguf")


def test_models_of_another_kind_are_refused(tmp_path: Path) -> None:
    write_bert(tmp_path / "other.gguf", architecture="bort")
    with pytest.raises(BundleError, match="unknown model architecture: 'bort'"):
        open_backend(tmp_path / "other.gguf")
    write_decoder(tmp_path / "chat.gguf", pooling=None)
    with pytest.raises(BundleError, match="'llama' generates text"):
        open_backend(tmp_path / "chat.gguf")


def test_more_tokens_than_the_model_has_positions_are_refused(bert: Path) -> None:
    with pytest.raises(ManifestError, match=f"{LENGTH + 1}, but .* has {LENGTH}"):
        open_backend(bert, max_input_tokens=LENGTH + 1)


def test_more_sequences_than_llama_cpp_takes_are_refused(bert: Path) -> None:
    with pytest.raises(ConfigurationError, match="n_seq_max must be <= 256"):
        open_backend(bert, max_batch_sequences=257)


@pytest.mark.skipif(
    llama_cpp.llama_supports_gpu_offload(), reason="has a GPU: not checked what happens without"
)
def test_a_gpu_that_is_not_there_is_refused(bert: Path) -> None:
    with pytest.raises(ConfigurationError, match="Start without --gpu"):
        open_backend(bert, gpu=True)


def test_nothing_is_printed_even_where_the_process_ends_without_close(bert: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from engine.backends.gguf import GgufBackend;"
        "from engine.types import Pooling;"
        "backend = GgufBackend(Path(sys.argv[1]), pooling=Pooling.CLS, precision='f32',"
        " max_input_tokens=256, max_batch_tokens=1024)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(bert)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_vocabulary_gives_the_ids_of_the_reference_tokenizer(
    bert: Path, golden: list[dict[str, Any]]
) -> None:
    vocabulary = LlamaVocabulary(bert)
    plain = [row for row in golden if row["text"].isascii() and len(row["input_ids"]) < LENGTH]
    assert len(plain) > 5
    found = [vocabulary.tokenize(row["text"]) for row in plain]
    assert found == [row["input_ids"] for row in plain]
    vocabulary.close()
    vocabulary.close()
    with pytest.raises(BackendError, match="closed"):
        vocabulary.tokenize("hello")


def test_special_tokens_are_added_and_parsed_only_when_asked_for(bert: Path) -> None:
    vocabulary = LlamaVocabulary(bert)
    with_specials = vocabulary.tokenize("hello")
    assert vocabulary.tokenize("hello", add_special=False) == with_specials[1:-1]
    assert vocabulary.tokenize("[SEP]", add_special=False, parse_special=True) == [3]
    assert len(vocabulary.tokenize("[SEP]", add_special=False)) > 1
    assert vocabulary.tokenize("", add_special=False) == []
    vocabulary.close()


def test_a_vocabulary_with_a_token_twice_never_reaches_llama_cpp(tmp_path: Path) -> None:
    """Its assertion would end the process."""
    path = tmp_path / "model.gguf"
    tokens = array("tokenizer.ggml.tokens", STRING, [text(row) for row in ("a", "", "", "b", "a")])
    path.write_bytes(gguf_bytes([string("general.architecture", "bert"), tokens]))
    with pytest.raises(IntegrityError, match="has the token 'a' twice"):
        LlamaVocabulary(path)
