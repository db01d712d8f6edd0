"""Whose fault a failed run is: the input's, or the backend's."""

from __future__ import annotations

import pytest

from engine import Engine, EngineConfig
from engine.backends.fake import FakeBackend
from engine.breaker import BreakerState
from engine.errors import BackendError, FailedInputError, NotReadyError
from engine.testing import fake_engine
from engine.types import Batch, BatchReport
from tests.engine.making import failing

DOG = 7
"""Id of the word in the fake engine's vocabulary."""


def fail_for_dogs(batch: Batch) -> None:
    """A `before_run` that can't compute one word."""
    if any(DOG in encoding.input_ids for encoding in batch.encodings):
        raise BackendError("no dogs")


def state_of(engine: Engine) -> BreakerState:
    """A call, because mypy takes a property to be the same for ever."""
    return engine.breaker_state


def set_fault(engine: Engine, error: BackendError) -> None:
    assert isinstance(engine.backend, FakeBackend)
    engine.backend.before_run = failing(error)


@pytest.mark.parametrize("inline", [True, False])
def test_inputs_that_can_not_be_computed_keep_nobody_out(inline: bool) -> None:
    """Each costs its sender an error, however many come in a row, alone or among others."""
    config = EngineConfig(breaker_failures=2, breaker_pause_seconds=3600)
    with fake_engine(before_run=fail_for_dogs, config=config, inline=inline) as engine:
        for _ in range(5):
            with pytest.raises(FailedInputError):
                engine.embed("a dog")
        with pytest.raises(FailedInputError) as caught:
            engine.embed(["the cat", "the dog", "the mat"])
        assert "input[1]" == caught.value.param
        engine.check_available()
        assert 4 == engine.embed("the cat").usage.prompt_tokens
        assert BreakerState.CLOSED is state_of(engine)


def test_a_backend_that_fails_for_every_input_is_given_a_pause() -> None:
    """Also after it has failed for some inputs only."""
    config = EngineConfig(breaker_failures=2, breaker_pause_seconds=3600)
    with fake_engine(before_run=fail_for_dogs, config=config) as engine:
        with pytest.raises(FailedInputError):
            engine.embed("a dog")
        set_fault(engine, BackendError("broken"))
        for _ in range(2):
            assert BreakerState.CLOSED is state_of(engine)
            with pytest.raises(BackendError, match="broken"):
                engine.embed("the cat")
        assert BreakerState.OPEN is state_of(engine)
        with pytest.raises(NotReadyError):
            engine.embed("the cat")


def test_an_input_that_can_not_be_computed_shows_that_the_backend_is_back() -> None:
    """After a pause the run that tries decides, and its probe with it."""
    config = EngineConfig(breaker_failures=1, breaker_pause_seconds=1e-6)
    with fake_engine(before_run=failing(BackendError("broken")), config=config) as engine:
        with pytest.raises(BackendError):
            engine.embed("the cat")
        assert BreakerState.CLOSED is not state_of(engine)
        assert isinstance(engine.backend, FakeBackend)
        engine.backend.before_run = fail_for_dogs
        with pytest.raises(FailedInputError):
            engine.embed("a dog")
        assert BreakerState.CLOSED is state_of(engine)


def test_probes_are_nobodys_work() -> None:
    """They are not among the batches that are reported."""
    reports: list[BatchReport] = []
    with fake_engine(before_run=fail_for_dogs, inline=True) as engine:
        engine.subscribe(reports.append)
        with pytest.raises(FailedInputError):
            engine.embed("a dog runs")
    assert [5] == [report.tokens for report in reports]
