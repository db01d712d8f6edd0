"""`Engine.embed` in process: what the engine takes without a server around it."""

from __future__ import annotations

import sys
import time
from typing import Any

from engine import Engine
from tests.bench.programs.lines import answer_lines


def main() -> None:
    """Answer {"inputs": ..., "calls": N} with the seconds of each of N calls."""
    with Engine.open(sys.argv[1]) as engine:

        def answer(question: dict[str, Any]) -> dict[str, Any]:
            seconds = []
            for _ in range(question["calls"]):
                started = time.perf_counter()
                engine.embed(question["inputs"])
                seconds.append(time.perf_counter() - started)
            return {"seconds": seconds}

        answer_lines(answer)


if __name__ == "__main__":
    main()
