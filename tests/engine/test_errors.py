from __future__ import annotations

import inspect

import pytest

from engine import errors
from engine.errors import (
    DimensionsError,
    EmbellamaError,
    InputTooLongError,
    InputTypeError,
    NonFiniteError,
    OverloadedError,
    SpaceMismatchError,
    TokenIdError,
    TooManyInputsError,
    TooManyTokensError,
    UnknownPromptError,
    UnsupportedArchitectureError,
)

_INDENT = 4


def tree_in_docstring() -> dict[str, str | None]:
    """Each class in the drawing at the top of the module, with the one above it."""
    parents: dict[str, str | None] = {}
    path: list[str] = []
    for line in inspect.cleandoc(errors.__doc__ or "").splitlines():
        drawn = line.lstrip("│├└─ ")
        name = drawn.split(" ")[0]
        if not name.endswith("Error"):
            continue
        depth = (len(line) - len(drawn)) // _INDENT - 1
        path[depth:] = [name]
        parents[name] = path[depth - 1] if depth else None
    return parents


def tree_in_code() -> dict[str, str | None]:
    parents: dict[str, str | None] = {"EmbellamaError": None}
    pending: list[type[EmbellamaError]] = [EmbellamaError]
    while pending:
        above = pending.pop()
        for cls in above.__subclasses__():
            if cls.__module__ == errors.__name__:
                parents[cls.__name__] = above.__name__
                pending.append(cls)
    return parents


def test_the_drawn_tree_is_the_real_one() -> None:
    """Every class is drawn at the top of the module, under its base, and no other is."""
    assert tree_in_code() == tree_in_docstring()


def test_every_exception_of_the_module_is_in_the_tree() -> None:
    """No exception stands beside the tree."""
    classes = {
        name
        for name, cls in inspect.getmembers(errors, inspect.isclass)
        if issubclass(cls, BaseException)
    }
    assert set(tree_in_code()) == classes


def test_every_class_says_when_it_is_raised() -> None:
    """Each class has its own docstring."""
    undocumented = [
        name for name in tree_in_code() if not getattr(errors, name).__dict__["__doc__"]
    ]
    assert [] == undocumented


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (InputTooLongError(param="input[3]", tokens=300, limit=256), ["input[3]", "300", "256"]),
        (
            TokenIdError(param="input", token_id=99, vocabulary_size=16),
            ["99", "16", "check_embedding_ctx_length=False"],
        ),
        (TooManyInputsError(inputs=9, limit=8), ["9", "8"]),
        (TooManyTokensError(tokens=11, limit=10), ["11", "10"]),
        (DimensionsError(dimensions=5, allowed=[4, 8]), ["dimensions=5", "4, 8"]),
        (UnknownPromptError(name="q", known=["passage", "query"]), ["'q'", "passage, query"]),
        (UnknownPromptError(name="q", known=[]), ["'q'", "none"]),
        (InputTypeError(input_type="x", known=["query"]), ["'x'", "query"]),
        (InputTypeError(input_type="x", known=[], prompts=["a", "b"]), ["'x'", "a, b"]),
        (SpaceMismatchError(required="aa", served="bb"), ["'aa'", "'bb'"]),
        (NonFiniteError(indices=[1, 3]), ["[1, 3]"]),
        (
            UnsupportedArchitectureError(architecture="x", supported=["bert"], advice="Do y."),
            ["'x'", "bert", "Do y."],
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_a_message_has_its_values(error: EmbellamaError, words: list[str]) -> None:
    """What was wrong and the limit are in the message."""
    assert [] == [word for word in words if word not in str(error)]


def test_the_message_is_an_attribute() -> None:
    """Whoever maps errors needs no parsing."""
    error = OverloadedError("Full.", retry_after_seconds=2.5)
    assert ("Full.", "Full.", 2.5) == (str(error), error.message, error.retry_after_seconds)
