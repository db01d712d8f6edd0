"""Work on the event loop in slices, between which other requests are served."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import TypeAlias, TypeVar

T = TypeVar("T")
Slices: TypeAlias = Generator[None, None, T]
"""Work in slices of about a millisecond; it returns a result."""


def run(slices: Slices[T]) -> T:
    """Do all of it at once."""
    while True:
        try:
            next(slices)
        except StopIteration as stop:
            result: T = stop.value
            return result


async def run_in_turns(slices: Slices[T]) -> T:
    """Do a slice, and the next one when the loop has served whatever else was ready."""
    while True:
        try:
            next(slices)
        except StopIteration as stop:
            result: T = stop.value
            return result
        await asyncio.sleep(0)
