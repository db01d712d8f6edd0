"""sentence-transformers over the texts on stdin, one a line: prints batch size and texts/s.

`python torch_fp16.py CHECKPOINT DEVICE`; it needs sentence-transformers, and nothing of ours.
"""

from __future__ import annotations

import sys
import time

_BATCHES = (32, 128, 512)
_REPEATS = 3


def main() -> None:
    import torch  # type: ignore[import-not-found]  # of its own environment
    from sentence_transformers import (  # type: ignore[import-not-found]
        SentenceTransformer,
    )

    checkpoint, device = sys.argv[1:]
    texts = sys.stdin.read().splitlines()
    model = SentenceTransformer(checkpoint, device=device)
    if device == "cuda":
        model = model.half()
    for batch in _BATCHES:
        best = float("inf")
        for _ in range(1 + _REPEATS):
            started = time.perf_counter()
            model.encode(texts, batch_size=batch, normalize_embeddings=True)
            if device == "cuda":
                torch.cuda.synchronize()
            best = min(best, time.perf_counter() - started)
        print(batch, len(texts) / best, flush=True)


if __name__ == "__main__":
    main()
