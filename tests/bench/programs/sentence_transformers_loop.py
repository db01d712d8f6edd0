"""sentence-transformers in process, in its own environment: it knows nothing of this project."""

from __future__ import annotations

import json
import sys
import time

from sentence_transformers import SentenceTransformer  # type: ignore[import-not-found]  # its own


def main() -> None:
    """Answer {"texts": [...], "batch_size": N} with the seconds that it took."""
    model = SentenceTransformer(sys.argv[1], device="cpu")
    for line in sys.stdin:
        question = json.loads(line)
        size = question["batch_size"]
        started = time.perf_counter()
        for start in range(0, len(question["texts"]), size):
            model.encode(question["texts"][start : start + size], batch_size=size)
        print(json.dumps({"seconds": time.perf_counter() - started}), flush=True)


if __name__ == "__main__":
    main()
