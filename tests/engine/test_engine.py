from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TypeVar, cast

import numpy as np
import pytest

from engine import EmbedResult, Engine, EngineConfig
from engine.backends.fake import FakeBackend
from engine.errors import (
    BackendError,
    CertificateError,
    ConfigurationError,
    DeadlineExceededError,
    DimensionsError,
    FailedInputError,
    IntegrityError,
    InvalidInputError,
    ManifestError,
    NonFiniteError,
    NotReadyError,
    OverloadedError,
    ShuttingDownError,
)
from engine.golden import encode_vector
from engine.model import ModelBundle
from engine.testing import fake_engine
from engine.types import Batch, FloatArray, Inputs, Truncate
from tests.engine.bundles import (
    CERTIFICATE,
    DIMENSIONS,
    TABLE,
    VOCABULARY_SIZE,
    golden_row,
    write_bundle,
    write_golden,
    write_graph,
    write_manifest,
)
from tests.engine.certificates import agreement, certificate
from tests.engine.making import PATIENCE_SECONDS, Gate, HeldSteps, failing

T = TypeVar("T")
MANY = ["the cat"] * 65
"""So many inputs that they are tokenized in a thread."""


def run_async(main: Callable[[], Coroutine[None, None, T]]) -> T:
    async def bounded() -> T:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await main()

    return asyncio.run(bounded())


async def arrival(gate: Gate) -> None:
    assert await asyncio.to_thread(gate.arrived.wait, PATIENCE_SECONDS)


def backend_of(engine: Engine) -> FakeBackend:
    assert isinstance(engine.backend, FakeBackend)
    return engine.backend


# Vectors


@pytest.mark.parametrize("inline", [True, False])
def test_vectors_are_in_the_order_of_the_inputs(inline: bool) -> None:
    """Each input of a mixed request has the vector that it has alone."""
    texts = ["a dog", "the cat sat on the mat", "red", "the cat", "on"]
    with fake_engine(inline=inline) as engine:
        together = engine.embed(texts).vectors
        alone = [engine.embed(text).vectors[0] for text in texts]
    np.testing.assert_allclose(np.stack(alone), together, rtol=0, atol=1e-5)


def test_equal_inputs_have_identical_vectors() -> None:
    """Not almost: the bytes are the same."""
    with fake_engine() as engine:
        vectors = engine.embed(["the cat", "dog", "The  cat", "the cat"]).vectors
    assert {vectors[0].tobytes()} == {vectors[place].tobytes() for place in (0, 2, 3)}


def test_equal_inputs_are_computed_once() -> None:
    """A text that a request repeats costs one sequence."""
    with fake_engine() as engine:
        engine.embed(["the cat", "dog", "the cat"])
        assert 2 == sum(len(batch.encodings) for batch in backend_of(engine).batches)


def test_equal_inputs_all_count() -> None:
    """Usage is what the tokenizer counted, repeated or not."""
    with fake_engine() as engine:
        assert 4 + 3 + 4 == engine.embed(["the cat", "dog", "the cat"]).usage.prompt_tokens


def test_text_and_its_ids_are_the_same_input() -> None:
    """A text and its token ids have one vector."""
    with fake_engine() as engine:
        of_ids = engine.embed([2, 4, 6, 3]).vectors
        np.testing.assert_array_equal(engine.embed("the cat").vectors, of_ids)


def test_cut_inputs_are_listed() -> None:
    """The result names the indices of cut inputs, and counts what was kept."""
    with fake_engine(max_input_tokens=4) as engine:
        result = engine.embed(
            ["the cat sat", "dog", "a dog runs", "the cat sat"], truncate=Truncate.END
        )
    assert ((0, 2, 3), 4 + 3 + 4 + 4) == (result.truncated, result.usage.prompt_tokens)


@pytest.mark.parametrize("texts", [["the cat", "dog"], ["the cat", "dog", "dog"]])
@pytest.mark.parametrize("dimensions", [None, 4])
def test_the_vectors_can_be_sent_as_they_are(texts: list[str], dimensions: int | None) -> None:
    """They are contiguous float32, with and without equal inputs."""
    with fake_engine(matryoshka_dimensions=(4,)) as engine:
        vectors = engine.embed(texts, dimensions=dimensions).vectors
    assert ((len(texts), dimensions or 8), np.dtype(np.float32), True) == (
        vectors.shape,
        vectors.dtype,
        vectors.flags.c_contiguous,
    )


@pytest.mark.parametrize("dimensions", [2, 4, 8])
def test_offered_dimensions_are_honoured(dimensions: int) -> None:
    """The full vector is cut, then scaled to length 1."""
    with fake_engine(matryoshka_dimensions=(4, 2)) as engine:
        full = engine.embed("the cat").vectors[:, :dimensions]
        cut = engine.embed("the cat", dimensions=dimensions).vectors
    np.testing.assert_allclose(full / np.linalg.norm(full), cut, rtol=0, atol=1e-6)


@pytest.mark.parametrize("dimensions", [-1, 0, 3, 9])
def test_other_dimensions_are_refused(dimensions: int) -> None:
    """The error lists what is offered."""
    with (
        fake_engine(matryoshka_dimensions=(4, 2)) as engine,
        pytest.raises(DimensionsError) as caught,
    ):
        engine.embed("the cat", dimensions=dimensions)
    assert (2, 4, 8) == caught.value.allowed


def test_a_prompt_changes_the_vector() -> None:
    """A prompt is in front of the text, and counted."""
    with fake_engine(prompts={"query": "the dog "}) as engine:
        prompted = engine.embed("cat", prompt_name="query")
        written = engine.embed("the dog cat")
    np.testing.assert_array_equal(written.vectors, prompted.vectors)
    assert written.usage == prompted.usage


# The asynchronous way


@pytest.mark.parametrize("inline", [True, False])
@pytest.mark.parametrize("texts", [["the cat", "dog"], MANY], ids=["few", "many"])
def test_both_ways_give_the_same_result(inline: bool, texts: list[str]) -> None:
    """`embed_async` is `embed`."""
    with fake_engine(inline=inline) as engine:
        expected = engine.embed(texts)
        actual = run_async(lambda: engine.embed_async(texts))
    np.testing.assert_array_equal(expected.vectors, actual.vectors)
    assert expected.usage == actual.usage


@pytest.mark.parametrize(
    "inputs", [None, 5, {"a": 1}, np.array(5), [np.array(5)], "", ["the"] * 64 + [""], [[]]]
)
def test_both_ways_refuse_alike(inputs: object) -> None:
    """A wrong input is the same clear error whichever way it came."""
    wrong = cast(Inputs, inputs)
    with fake_engine() as engine:
        with pytest.raises(InvalidInputError) as expected:
            engine.embed(wrong)
        with pytest.raises(InvalidInputError, match=re.escape(str(expected.value))):
            run_async(lambda: engine.embed_async(wrong))


def test_requests_of_one_loop_run_side_by_side() -> None:
    """The loop is free while an earlier request computes."""
    gate = Gate()

    async def main() -> tuple[EmbedResult, EmbedResult]:
        first = asyncio.create_task(engine.embed_async("the cat"))
        await arrival(gate)
        second = asyncio.create_task(engine.embed_async("dog"))
        gate.open()
        return await first, await second

    with fake_engine(before_run=gate) as engine:
        first, second = run_async(main)
    assert (4, 3) == (first.usage.prompt_tokens, second.usage.prompt_tokens)


# Deadlines and cancelling


def test_a_passed_deadline_is_an_error_and_drops_the_work() -> None:
    """What had not run when the time was over is never computed."""
    gate = Gate()

    async def main() -> None:
        blocker = asyncio.create_task(engine.embed_async("the cat"))
        await arrival(gate)
        with pytest.raises(DeadlineExceededError):
            await engine.embed_async(["dog", "the dog runs"], deadline_seconds=0)
        assert 0 == engine.queue_state().queued_tokens
        gate.open()
        await blocker

    with fake_engine(before_run=gate) as engine:
        run_async(main)
        assert 1 == len(backend_of(engine).batches)


def test_a_deadline_that_is_kept_changes_nothing() -> None:
    """Time left over is not missed."""
    with fake_engine() as engine:
        result = run_async(lambda: engine.embed_async("the cat", deadline_seconds=PATIENCE_SECONDS))
    assert 4 == result.usage.prompt_tokens


def test_a_runtimes_own_timeout_is_not_the_deadline() -> None:
    """An error from below is not told as one of the caller's making."""
    with (
        fake_engine(before_run=failing(TimeoutError("driver"))) as engine,
        pytest.raises(TimeoutError, match="driver"),
    ):
        run_async(lambda: engine.embed_async("the cat", deadline_seconds=PATIENCE_SECONDS))


def test_cancelling_the_caller_drops_the_work() -> None:
    """A client that went away costs no more than what runs."""
    gate = Gate()

    async def main() -> None:
        blocker = asyncio.create_task(engine.embed_async("the cat"))
        await arrival(gate)
        waiting = asyncio.create_task(engine.embed_async(["dog", "the dog runs"]))
        await asyncio.sleep(0)  # lets the task run until it waits
        assert 1 == engine.queue_state().queued_requests
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert 0 == engine.queue_state().queued_tokens
        gate.open()
        await blocker

    with fake_engine(before_run=gate) as engine:
        run_async(main)
        assert 1 == len(backend_of(engine).batches)


def _hold_tokenizing(engine: Engine, held: HeldSteps) -> None:
    engine._tokenize_line.submit(held.steps(), characters=1)
    assert held.arrived.wait(PATIENCE_SECONDS)


def test_a_text_that_waits_to_be_tokenized_is_dropped_at_its_deadline() -> None:
    """Neither tokenized nor computed when its turn comes."""
    held = HeldSteps()
    with fake_engine() as engine:
        _hold_tokenizing(engine, held)
        with pytest.raises(DeadlineExceededError):
            run_async(lambda: engine.embed_async(MANY, deadline_seconds=0.01))
        held.let_go.set()
        run_async(lambda: engine.tokenize_async(MANY))
        assert 0 == len(backend_of(engine).batches)


def test_a_text_that_waits_to_be_tokenized_does_not_hold_up_short_ones() -> None:
    """Those are tokenized at once, where they came."""
    held = HeldSteps()
    with fake_engine() as engine:
        _hold_tokenizing(engine, held)
        assert 4 == run_async(lambda: engine.embed_async("the cat")).usage.prompt_tokens
        held.let_go.set()


def test_more_text_than_may_wait_to_be_tokenized_is_refused() -> None:
    held = HeldSteps()
    with fake_engine(config=EngineConfig(max_queue_tokens=4)) as engine:
        _hold_tokenizing(engine, held)
        with pytest.raises(OverloadedError):
            run_async(lambda: engine.embed_async(MANY))
        held.let_go.set()


# Failing


def test_a_failure_of_the_backend_reaches_the_caller_and_passes() -> None:
    """One failed request is one error; the next one is served."""
    with fake_engine(before_run=failing(BackendError("broken"))) as engine:
        with pytest.raises(BackendError, match="broken"):
            engine.embed("the cat")
        backend_of(engine).before_run = None
        assert 4 == engine.embed("the cat").usage.prompt_tokens


def test_a_vector_without_direction_is_never_sent(tmp_path: Path) -> None:
    """A text whose vector is null is a failure of the runtime."""
    write_bundle(tmp_path)
    table: FloatArray = np.round(TABLE * 64) / np.float32(64)  # sums are exact
    table[15] = -(table[2] + table[3])  # so "runs" and its special tokens cancel out
    write_graph(tmp_path / "model.onnx", table=table)
    row = golden_row("the cat")
    vector = table[row["input_ids"]].mean(axis=0)
    row["embedding"] = encode_vector(vector / np.linalg.norm(vector))
    write_golden(tmp_path / "golden.json", [row])
    write_manifest(tmp_path)
    with Engine.open(tmp_path) as engine:
        with pytest.raises(FailedInputError) as caught:
            engine.embed(["the cat", "runs"])
        assert isinstance(caught.value.__cause__, NonFiniteError)
        assert "input[1]" == caught.value.param


# Closing


@pytest.mark.parametrize("inline", [True, False])
@pytest.mark.parametrize("texts", [["the cat"], MANY], ids=["few", "many"])
def test_a_closed_engine_refuses(inline: bool, texts: list[str]) -> None:
    """Both ways, and however the request would be tokenized."""
    engine = fake_engine(inline=inline)
    engine.close()
    with pytest.raises(ShuttingDownError):
        engine.embed(texts)
    with pytest.raises(ShuttingDownError):
        run_async(lambda: engine.embed_async(texts))


def test_closing_frees_the_model() -> None:
    """The backend is closed with the engine; twice is harmless."""
    engine = fake_engine()
    engine.close()
    engine.close()
    assert backend_of(engine).closed


def test_closing_answers_everyone() -> None:
    """What runs is finished, what waits is refused, and only then is the model freed."""
    gate = Gate()
    engine = fake_engine(before_run=gate)

    async def main() -> tuple[EmbedResult, ShuttingDownError]:
        running = asyncio.create_task(engine.embed_async("the cat"))
        await arrival(gate)
        waiting = asyncio.create_task(engine.embed_async("dog"))
        await asyncio.sleep(0)  # lets the task run until it waits
        assert 1 == engine.queue_state().queued_requests
        closing = threading.Thread(target=engine.close)
        closing.start()
        with pytest.raises(ShuttingDownError) as caught:
            await waiting
        assert not backend_of(engine).closed
        gate.open()
        result = await running
        await asyncio.to_thread(closing.join)
        return result, caught.value

    result, error = run_async(main)
    assert (4, True) == (result.usage.prompt_tokens, error.retry_after_seconds > 0)


# Opening a bundle


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write_bundle(tmp_path)


@pytest.mark.parametrize("inline", [True, False])
def test_a_bundle_opens_and_embeds(bundle: Path, inline: bool) -> None:
    """The vectors are those of the graph, pooled and normalised."""
    expected = ModelBundle.open(bundle).manifest.fingerprint
    with Engine.open(bundle, inline=inline) as engine:
        vectors = engine.embed("the cat").vectors
        assert expected == engine.space
    mean = TABLE[[2, 4, 6, 3]].mean(axis=0)
    np.testing.assert_allclose([mean / np.linalg.norm(mean)], vectors, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "config",
    [
        EngineConfig(max_client_batch_size=1),
        EngineConfig(max_request_tokens=4),
        EngineConfig(max_queue_tokens=1),
        EngineConfig(max_batch_tokens=1),
        EngineConfig(context_size=4),
        EngineConfig(threads=1),
    ],
    ids=str,
)
def test_the_check_at_start_passes_under_any_limits(bundle: Path, config: EngineConfig) -> None:
    """Limits on requests do not apply to the engine's own check."""
    with Engine.open(bundle, config) as engine:
        assert (1, DIMENSIONS) == engine.embed("the cat").vectors.shape


def test_golden_texts_that_were_cut_are_checked(tmp_path: Path) -> None:
    """A golden text longer than the model's limit was certified as cut."""
    write_bundle(tmp_path)
    row = golden_row("the cat")
    write_golden(tmp_path / "golden.json", [row | {"text": "the cat sat on the mat"}])
    write_manifest(tmp_path, max_input_tokens=4)
    with Engine.open(tmp_path) as engine:
        assert 4 == engine.max_input_tokens


def test_other_ids_than_the_certified_are_refused(bundle: Path) -> None:
    """Another tokenizer is another space, even if the vectors were close."""
    row = golden_row("the cat")
    row["input_ids"] = [2, 4, 7, 3]
    write_golden(bundle / "golden.json", [row])
    write_manifest(bundle)
    with pytest.raises(CertificateError, match="other ids for 'the cat'"):
        Engine.open(bundle)


@pytest.mark.parametrize(
    ("size", "reason"),
    [
        (3, "the tokenizer gives the id 3 to every text"),
        (VOCABULARY_SIZE + 1, f"the model has no vector for the id {VOCABULARY_SIZE}"),
        (1 << 24, f"the model has no vector for the id {(1 << 24) - 1}"),
        (1 << 40, "vocabulary_size: Input should be less than or equal to 16777216"),
    ],
)
def test_a_vocabulary_that_the_model_has_not_is_refused(
    size: int, reason: str, bundle: Path
) -> None:
    """An id without a row in the model's table would get some vector, or fail each request."""
    manifest = json.loads((bundle / "manifest.json").read_text())
    (bundle / "manifest.json").write_text(json.dumps(manifest | {"vocabulary_size": size}))
    with pytest.raises(ManifestError, match=reason):
        Engine.open(bundle)


def test_other_vectors_than_the_certified_are_refused(bundle: Path) -> None:
    """A model whose vectors are a little off is never ready."""
    noise = np.random.default_rng(1).standard_normal(TABLE.shape, dtype=np.float32)
    write_graph(bundle / "model.onnx", table=TABLE + 0.05 * noise)
    write_manifest(bundle)
    with pytest.raises(CertificateError, match="cosine"):
        Engine.open(bundle)


def test_golden_vectors_of_another_size_are_refused(bundle: Path) -> None:
    """A golden set of another model is a failed check, not a crash."""
    row = golden_row("the cat") | {"embedding": encode_vector(np.ones(3, dtype=np.float32))}
    write_golden(bundle / "golden.json", [row])
    write_manifest(bundle)
    with pytest.raises(CertificateError, match="3"):
        Engine.open(bundle)


def test_golden_vectors_that_are_no_numbers_are_refused(bundle: Path) -> None:
    """NaN agrees with nothing: the file is damaged, whatever the model computes."""
    row = golden_row("the cat")
    row["embedding"] = encode_vector(np.full(DIMENSIONS, np.nan, dtype=np.float32))
    write_golden(bundle / "golden.json", [row])
    write_manifest(bundle)
    with pytest.raises(IntegrityError, match="golden texts"):
        Engine.open(bundle)


def test_a_graph_of_another_width_is_refused(bundle: Path) -> None:
    """A manifest that promises other dimensions than the graph has ends in an error."""
    write_manifest(bundle, dimensions=DIMENSIONS + 1)
    with pytest.raises(BackendError, match="shape"):
        Engine.open(bundle)


@pytest.mark.parametrize("name", ["tokenizer.json", "model.onnx", "golden.json"])
def test_an_altered_file_is_refused(bundle: Path, name: str) -> None:
    """Each file is compared with its hash before it is used."""
    path = bundle / "manifest.json"
    manifest = json.loads(path.read_text())
    for entry in manifest["files"]:
        if entry["path"] == name:
            entry["sha256"] = "0" * 64
    path.write_text(json.dumps(manifest))
    with pytest.raises(IntegrityError, match=re.escape(name)):
        Engine.open(bundle)


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("tokenizer.json", IntegrityError),
        ("model.onnx", ConfigurationError),
        ("golden.json", CertificateError),
    ],
)
def test_a_bundle_without_a_needed_file_is_refused(
    bundle: Path, name: str, error: type[Exception]
) -> None:
    """Nothing is served that can't be checked."""
    (bundle / name).unlink()
    write_manifest(bundle)
    with pytest.raises(error):
        Engine.open(bundle)


def test_a_context_above_the_models_is_refused(bundle: Path) -> None:
    """The message has both numbers."""
    with pytest.raises(ConfigurationError, match=r"17.*16"):
        Engine.open(bundle, EngineConfig(context_size=17))


@pytest.mark.parametrize(("context_size", "limit"), [(None, 16), (16, 16), (5, 5)])
def test_the_context_is_the_limit_of_an_input(
    bundle: Path, context_size: int | None, limit: int
) -> None:
    """By default, and at most, what the model allows."""
    with Engine.open(bundle, EngineConfig(context_size=context_size)) as engine:
        assert limit == engine.max_input_tokens
        cut = engine.embed("the cat " * 20, truncate=Truncate.END)
    assert limit == cut.usage.prompt_tokens


# A backend that fails


def test_a_backend_that_keeps_failing_is_given_a_pause() -> None:
    """After so many failures in a row, requests are refused without being computed."""
    tried: list[int] = []

    def fail_all(_: Batch) -> None:
        tried.append(1)
        raise BackendError("broken")

    config = EngineConfig(breaker_failures=3, breaker_pause_seconds=3600)
    with fake_engine(before_run=fail_all, config=config) as engine:
        for _ in range(3):
            with pytest.raises(BackendError):
                engine.embed("the cat")
        with pytest.raises(NotReadyError):
            engine.embed("the cat")
        with pytest.raises(NotReadyError):
            asyncio.run(engine.embed_async("the cat"))
        with pytest.raises(NotReadyError):
            engine.check_available()
    assert 3 * 2 == len(tried)  # each with its probe


def test_asking_whether_it_is_available_tries_it_after_the_pause() -> None:
    """No request has to come first: the probe of an orchestrator brings the backend back."""
    probed = threading.Event()

    def watch(_: Batch) -> None:
        probed.set()

    config = EngineConfig(breaker_failures=1, breaker_pause_seconds=1e-6)
    with fake_engine(before_run=failing(BackendError("broken")), config=config) as engine:
        with pytest.raises(BackendError):
            engine.embed("the cat")
        backend_of(engine).before_run = watch
        with pytest.raises(NotReadyError):  # not before the run has succeeded
            engine.check_available()
        assert probed.wait(PATIENCE_SECONDS)
        assert 4 == engine.embed("the cat").usage.prompt_tokens
        engine.check_available()


def test_a_bundle_that_nobody_measured_is_not_served(tmp_path: Path) -> None:
    """Without a certificate, or with one of no file, the server is not to be ready."""
    for given in (None, CERTIFICATE.model_copy(update={"files": ()})):
        write_bundle(tmp_path, certificate=given)
        with pytest.raises(CertificateError, match="no certificate"):
            Engine.open(tmp_path)


@pytest.mark.parametrize(
    "row",
    [
        {"min_cosine": 0.9998},
        {"min_cosine": 0.5, "tolerance": 0.4},
        {"min_cosine": 0.9998, "tolerance": -1.0},
        {"passed": False},
    ],
)
def test_a_file_that_was_certified_below_its_tolerance_is_not_served(
    tmp_path: Path, row: dict[str, object]
) -> None:
    """By the cosine and by the precision's own tolerance, whatever the row says else."""
    write_bundle(tmp_path)
    write_manifest(tmp_path, certificate=certificate(agreement(**row)))
    with pytest.raises(CertificateError, match=r"model\.onnx on onnx has a cosine of"):
        Engine.open(tmp_path)


def test_the_worst_of_several_rows_of_a_file_counts(tmp_path: Path) -> None:
    write_bundle(tmp_path)
    rows = (agreement(), agreement(min_cosine=0.9), agreement())
    write_manifest(tmp_path, certificate=certificate(*rows))
    with pytest.raises(CertificateError, match=r"a cosine of 0\.9"):
        Engine.open(tmp_path)


@pytest.mark.parametrize("row", [{"path": "other.onnx"}, {"backend": "gguf"}])
def test_a_file_that_nobody_measured_is_served_and_the_reason_says_so(
    tmp_path: Path, row: dict[str, object]
) -> None:
    """The golden texts of the start speak for it; the log has the reason."""
    write_bundle(tmp_path)
    with Engine.open(tmp_path) as engine:
        assert "not measured" not in engine.reason
    write_manifest(tmp_path, certificate=certificate(agreement(**row)))
    with Engine.open(tmp_path) as engine:
        assert engine.reason.endswith(
            "; model.onnx was not measured on onnx when the bundle was made"
        )
