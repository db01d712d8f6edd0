from __future__ import annotations

import pytest

from tests.docs.answers import difference
from tests.docs.blocks import blocks_of, flaw_of

OBJECT = '{"data": [{"index": 0, "embedding": [0.25, -0.5, 0.125]}], "created": 17, "id": "req_ab"}'


@pytest.mark.parametrize(
    "shown",
    [
        OBJECT,
        '{"data": [{"index": 0, "embedding": [0.25001, ...]}], "created": 99, "id": "req_..."}',
        '{"data": [{"embedding": [0.25, ..., 0.125], ...}], ...}',
        '{"data": [...], "created": 1, "id": ...}',
        "...",
    ],
)
def test_json_that_is_the_same_but_for_what_may_differ(shown: str) -> None:
    assert difference(shown, OBJECT, "json") is None


@pytest.mark.parametrize(
    "shown",
    [
        OBJECT.replace("0.25", "0.26"),
        OBJECT.replace("0,", "1,"),
        OBJECT.replace("ab", "ac"),
        OBJECT.replace('"id"', '"ids"'),
        '{"data": [...]}',
        '{"data": [{"index": 0, "embedding": [0.25, -0.5]}], ...}',
        '{"data": [{"embedding": [..., 0.25], ...}], ...}',
        '{"created": "17", ...}',
        '{"data": [..., 1, 2], ...}',
    ],
)
def test_json_that_differs(shown: str) -> None:
    assert difference(shown, OBJECT, "json") is not None


def test_what_is_no_json_differs() -> None:
    assert difference("...", "Error", "json") is not None


@pytest.mark.parametrize(
    ("shown", "is_same"),
    [
        ("a 0.5\nb", True),
        ("a 0.50001\nb", True),
        ("a ...\nb", True),
        ("...\nb", True),
        ("a 0.5\n...", True),
        ("...", True),
        ("a 0.6\nb", False),
        ("a 0.5", False),
        ("a 0.5\nb\nc", False),
        ("...\nc", False),
        ("a 1\nb", False),
        ("", False),
    ],
)
def test_lines(shown: str, is_same: bool) -> None:
    assert (difference(shown, "a 0.5 \nb\n", "") is None) == is_same


DOCUMENT = """
```sh
one
```

```
its answer
```

Text.

<!-- not run: it costs money -->
```sh
two
```

```
nobody's
```

<!-- not run: it costs money -->
Text.
```python
three
```
```perl
four
```
"""


def test_the_blocks_of_a_document() -> None:
    """An answer is what comes right after a block; a mark counts right above one only."""
    one, answer, two, also, three, four = blocks_of(DOCUMENT)
    assert (one.line, one.language, one.text, one.why_not) == (2, "sh", "one", None)
    assert answer.answers_to is one
    assert (two.why_not, also.answers_to) == ("it costs money", two)
    assert (three.language, three.why_not) == ("python", None)
    assert [flaw_of(block) is None for block in (one, answer, two, three, four)] == [
        True,
        True,
        True,
        True,
        False,
    ]


def test_an_answer_to_nothing_is_a_flaw() -> None:
    [block] = blocks_of("Text.\n```\nwords\n```\n")
    assert flaw_of(block) is not None
