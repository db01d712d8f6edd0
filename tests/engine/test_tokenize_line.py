from __future__ import annotations

import gc
import threading
import weakref
from concurrent.futures import Future

import pytest

from engine.errors import OverloadedError, ShuttingDownError
from engine.pieces import Steps
from engine.tokenize_line import TokenizeLine
from tests.engine.making import PATIENCE_SECONDS, HeldSteps


def _noting(done: list[str], name: str, sizes: list[int]) -> Steps[str]:
    for size in sizes:
        yield size
        done.append(name)
    return name


def _held(line: TokenizeLine, characters: int = 1) -> tuple[HeldSteps, Future[str]]:
    held = HeldSteps()
    future = line.submit(held.steps(), characters=characters)
    assert held.arrived.wait(PATIENCE_SECONDS)
    return held, future


def test_the_result_of_all_steps_is_the_future_s() -> None:
    done: list[str] = []
    line = TokenizeLine(100)
    future = line.submit(_noting(done, "a", [1, 1]), characters=2)
    assert ("a", ["a", "a"]) == (future.result(PATIENCE_SECONDS), done)
    line.close()


def test_an_error_is_the_future_s_and_the_line_goes_on() -> None:
    def failing() -> Steps[str]:
        yield 1
        raise ValueError("wrong")

    line = TokenizeLine(100)
    with pytest.raises(ValueError, match="wrong"):
        line.submit(failing(), characters=1).result(PATIENCE_SECONDS)
    future = line.submit(_noting([], "a", [1]), characters=1)
    assert "a" == future.result(PATIENCE_SECONDS)
    line.close()


def test_an_error_is_freed_with_what_it_refers_to() -> None:
    """Its traceback has the text; kept until the garbage is collected, texts would pile up."""

    class Text:
        pass

    def failing(text: Text) -> Steps[str]:
        yield 1
        raise ValueError(str(text))

    line = TokenizeLine(100)
    text = Text()
    freed = weakref.ref(text)
    gc.disable()
    try:
        future = line.submit(failing(text), characters=1)
        assert isinstance(future.exception(PATIENCE_SECONDS), ValueError)
        line.close()
        del text, future
        assert freed() is None
    finally:
        gc.enable()


def test_short_work_overtakes_long_work_that_came_first() -> None:
    """It waits for the step that runs, not for the rest of what came before."""
    done: list[str] = []
    line = TokenizeLine(1000)
    held, _ = _held(line)
    futures = [line.submit(_noting(done, name, [99] * 3), characters=99) for name in "ab"]
    futures.append(line.submit(_noting(done, "short", [10]), characters=10))
    held.let_go.set()
    for future in futures:
        future.result(PATIENCE_SECONDS)
    assert ["short", "a", "b", "a", "b", "a", "b"] == done
    line.close()


def test_much_short_work_does_not_starve_long_work() -> None:
    """Each request has its share, so long work goes on beside any number of short ones."""
    done: list[str] = []
    line = TokenizeLine(1000)
    held, _ = _held(line)
    futures = [line.submit(_noting(done, "long", [50]), characters=50)]
    more: list[Future[str]] = []

    def endless() -> Steps[str]:
        yield 10
        if len(more) < 500 and "long" not in done:
            more.append(line.submit(endless(), characters=1))
        done.append("short")
        return "short"

    futures += [line.submit(endless(), characters=1) for _ in range(2)]
    held.let_go.set()
    for future in futures:
        future.result(PATIENCE_SECONDS)
    assert len(more) < 100
    line.close()


def test_work_that_is_cancelled_while_it_waits_never_runs() -> None:
    """And its text is freed at once."""

    class Text:
        pass

    def keeping(text: Text) -> Steps[str]:
        yield 1
        done.append(str(text))
        return ""

    done: list[str] = []
    line = TokenizeLine(1000)
    held, first = _held(line)
    text = Text()
    freed = weakref.ref(text)
    future = line.submit(keeping(text), characters=1)
    del text
    future.cancel()
    gc.collect()
    assert freed() is None
    held.let_go.set()
    first.result(PATIENCE_SECONDS)
    line.close()
    assert [] == done


def test_work_that_is_cancelled_while_it_runs_ends_with_its_step() -> None:
    done: list[str] = []
    held = HeldSteps()

    def steps() -> Steps[str]:
        yield from held.steps()
        yield 1
        done.append("more")
        return ""

    line = TokenizeLine(1000)
    future = line.submit(steps(), characters=1)
    assert held.arrived.wait(PATIENCE_SECONDS)
    assert future.cancel()
    held.let_go.set()
    line.close()
    assert [] == done


def test_more_text_than_may_wait_is_refused() -> None:
    """Four characters are a token."""
    line = TokenizeLine(25)
    held, first = _held(line, characters=60)
    second = line.submit(_noting([], "a", [40]), characters=40)
    with pytest.raises(OverloadedError) as caught:
        line.submit(_noting([], "b", [1]), characters=1)
    assert caught.value.retry_after_seconds > 0
    held.let_go.set()
    for future in (first, second):
        future.result(PATIENCE_SECONDS)
    line.close()


def test_alone_any_text_is_taken() -> None:
    line = TokenizeLine(1)
    assert "a" == line.submit(_noting([], "a", [99]), characters=99).result(PATIENCE_SECONDS)
    line.close()


@pytest.mark.parametrize("how", ["done", "failed", "cancelled"])
def test_what_has_ended_waits_no_more(how: str) -> None:
    def ending() -> Steps[str]:
        yield 1
        if how == "failed":
            raise ValueError
        return ""

    line = TokenizeLine(10)
    held, first = _held(line)
    future = line.submit(ending(), characters=39)
    if how == "cancelled":
        future.cancel()
        again = line.submit(_noting([], "a", [39]), characters=39)
        held.let_go.set()
    else:
        held.let_go.set()
        future.exception(PATIENCE_SECONDS)
        first.result(PATIENCE_SECONDS)
        again = line.submit(_noting([], "a", [40]), characters=40)
    assert "a" == again.result(PATIENCE_SECONDS)
    line.close()


def test_closing_refuses_what_waits_and_what_comes() -> None:
    line = TokenizeLine(100)
    held, first = _held(line)
    waiting = line.submit(_noting([], "a", [1]), characters=1)
    closing = threading.Thread(target=line.close)
    closing.start()
    with pytest.raises(ShuttingDownError):
        waiting.result(PATIENCE_SECONDS)
    held.let_go.set()
    closing.join(PATIENCE_SECONDS)
    assert not closing.is_alive()
    assert "held" == first.result(PATIENCE_SECONDS)
    with pytest.raises(ShuttingDownError):
        line.submit(_noting([], "b", [1]), characters=1)


def test_a_line_that_was_never_used_closes() -> None:
    TokenizeLine(100).close()
