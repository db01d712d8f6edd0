"""What an engine offers to whoever watches it, and to whoever only wants to know a length."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from engine.errors import BackendError, InputTooLongError, ShuttingDownError
from engine.testing import fake_engine
from engine.types import Batch, BatchReport, Truncate

LONG = "cat " * 2000


def _fail(_: Batch) -> None:
    raise BackendError("The runtime failed.")


@pytest.mark.parametrize("inline", [True, False])
def test_every_batch_is_reported(inline: bool) -> None:
    reports: list[BatchReport] = []
    with fake_engine(inline=inline) as engine:
        engine.subscribe(reports.append)
        engine.embed(["the cat", "a dog"])
        engine.embed("sat")
    assert [(report.inputs, report.tokens) for report in reports] == [(2, 8), (1, 3)]
    assert all(report.seconds > 0 for report in reports)


def test_every_observer_gets_every_report() -> None:
    first: list[BatchReport] = []
    second: list[BatchReport] = []
    with fake_engine() as engine:
        engine.subscribe(first.append)
        engine.subscribe(second.append)
        engine.embed("cat")
    assert [report.tokens for report in first] == [3]
    assert first == second


def test_a_batch_that_failed_is_reported_too() -> None:
    reports: list[BatchReport] = []
    with fake_engine(before_run=_fail) as engine:
        engine.subscribe(reports.append)
        with pytest.raises(BackendError, match="The runtime failed"):
            engine.embed("cat")
    assert [report.tokens for report in reports] == [3]


def test_tokenizing_gives_what_would_be_computed() -> None:
    with fake_engine(prompts={"query": "the "}) as engine:
        (encoding,) = asyncio.run(engine.tokenize_async("cat", prompt_name="query"))
        assert np.array_equal(encoding.input_ids, [2, 4, 6, 3])
        assert not encoding.truncated


def test_a_long_text_is_tokenized_like_a_short_one() -> None:
    with fake_engine(max_input_tokens=4) as engine:
        (encoding,) = asyncio.run(engine.tokenize_async(LONG, truncate=Truncate.END))
        assert np.array_equal(encoding.input_ids, [2, 6, 6, 3])
        assert encoding.truncated
        with pytest.raises(InputTooLongError):
            asyncio.run(engine.tokenize_async(LONG))


def test_a_closed_engine_tokenizes_no_long_text() -> None:
    engine = fake_engine()
    engine.close()
    with pytest.raises(ShuttingDownError):
        asyncio.run(engine.tokenize_async(LONG))
