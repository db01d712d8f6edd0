"""Texts to measure with, made from the docstrings of the standard library: nothing to download."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import random
import warnings
from collections.abc import Iterator
from functools import cache

SHORT_QUERY = "how do I read a file line by line"
_PACKAGES = (
    "collections",
    "concurrent",
    "email",
    "http",
    "importlib",
    "json",
    "logging",
    "unittest",
)
_MODULES = (
    "argparse",
    "ast",
    "asyncio",
    "decimal",
    "difflib",
    "inspect",
    "pathlib",
    "statistics",
    "typing",
)
_SEED = 20
_WORDS_AT_MOST = 190


@cache
def docstrings() -> tuple[str, ...]:
    """All distinct docstrings of a few packages, whole, in a fixed order."""
    found: dict[str, None] = {}
    for module in _modules():
        for _, member in inspect.getmembers(module):
            for candidate in (
                (member, *vars(member).values()) if inspect.isclass(member) else (member,)
            ):
                text = getattr(candidate, "__doc__", None)
                if isinstance(text, str) and len(text.split()) >= 3:
                    found[" ".join(text.split())] = None
    return tuple(found)


def mixed_texts(count: int, *, seed: int = _SEED) -> list[str]:
    """Texts of about 5 to 256 tokens, lengths spread evenly, in random order."""
    rng = random.Random(seed)  # noqa: S311 - the same texts every time
    words = " ".join(docstrings()).split()
    texts = []
    for _ in range(count):
        length = round(3 * (_WORDS_AT_MOST / 3) ** rng.random())
        start = rng.randrange(len(words) - length)
        texts.append(" ".join(words[start : start + length]))
    return texts


def _modules() -> Iterator[object]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in _MODULES:
            yield importlib.import_module(name)
        for name in _PACKAGES:
            package = importlib.import_module(name)
            yield package
            for info in pkgutil.iter_modules(package.__path__, f"{name}."):
                if not info.name.endswith("__main__"):
                    yield importlib.import_module(info.name)
