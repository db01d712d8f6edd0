"""`Engine.embed` in process, of a bundle in one of its precisions."""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np

from engine import Engine
from engine.config import EngineConfig
from tests.bench.programs.lines import answer_lines


def main() -> None:
    """Answer {"texts": ...} with the seconds, and {"alone": ...} with what a batch changes."""
    bundle, precision = sys.argv[1:]
    with Engine.open(bundle, EngineConfig(precision=precision)) as engine:

        def answer(question: dict[str, Any]) -> dict[str, Any]:
            if "alone" in question:
                texts = question["alone"]
                together = engine.embed(texts).vectors
                alone = np.concatenate([engine.embed([text]).vectors for text in texts])
                return {"difference": float(np.abs(together - alone).max())}
            started = time.perf_counter()
            engine.embed(question["texts"])
            return {"seconds": time.perf_counter() - started}

        answer_lines(answer)


if __name__ == "__main__":
    main()
