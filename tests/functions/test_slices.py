from __future__ import annotations

import asyncio

from functions.slices import Slices, run, run_in_turns


def _count(slices: int, done: list[int]) -> Slices[str]:
    for number in range(slices):
        done.append(number)
        yield
    return "result"


def test_all_slices_are_run_and_the_result_is_returned() -> None:
    done: list[int] = []
    assert run(_count(3, done)) == "result"
    assert done == [0, 1, 2]


def test_others_have_a_turn_after_each_slice() -> None:
    async def main() -> list[int]:
        done: list[int] = []
        seen: list[int] = []

        async def other() -> None:
            while len(done) < 10:
                seen.append(len(done))
                await asyncio.sleep(0)

        watching = asyncio.create_task(other())
        await asyncio.sleep(0)
        assert await run_in_turns(_count(10, done)) == "result"
        await watching
        return seen

    assert asyncio.run(main()) == list(range(10))
