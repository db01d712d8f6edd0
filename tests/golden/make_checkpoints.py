"""Write small checkpoints with random weights, and the vectors a reference makes of them.

    python tests/golden/make_checkpoints.py [ARCHITECTURE ...]

The same packages write the same bytes again, but for the date: weights are seeded by their names.
"""

from __future__ import annotations

import argparse
import json
import math
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from golden_file import (
    GoldenText,
    Vectors,
    cosine_spread,
    load_texts,
    provenance,
    text_rows,
    to_base64,
    write_golden,
)
from recipe import Encoder, Recipe
from recipe_jina import jina_bert_v2
from recipe_nomic import nomic_bert
from recipes_bert import bert, roberta, xlm_roberta
from safetensors.torch import save_file
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer
from torch import Tensor

RECIPES: dict[str, Callable[[], Recipe]] = {
    "bert": bert,
    "nomic-bert": nomic_bert,
    "jina-bert-v2": jina_bert_v2,
    "xlm-roberta": xlm_roberta,
    "roberta": roberta,
}
CHECKPOINTS = Path(__file__).with_name("checkpoints")
TOLERANCE = 1e-5  # max abs difference: alone or batched, our pooling or sentence-transformers'
MAX_COSINE = 0.99  # above it two texts are too alike to tell a broken model from a sound one
TEXTS = (
    "one-token",
    "space-alone",
    "bread-query",
    "bread-query-near",
    "emoji-family",
    "chinese-short",
    "zero-width",
    "bread-tip",
    "database-fact",
    "sql-medium",
    "whitespace-runs",
    "control-marks",
    "accents-nfd",
    "arabic-medium",
    "star-full",
    "python-long",
    "japanese-long",
    "chinese-full",
    "mixed-scripts-long",
)
PROMPTED = (("bread-query", "search_query"), ("bread-tip", "search_document"))

# Standard deviation of each kind of tensor, by a part of its name; matrices not named here are
# scaled by the square root of their inputs. Queries and keys are large enough for attention to
# choose, embeddings of positions and types small enough for words to matter.
STANDARD_DEVIATION = {
    "word_embeddings": 1.0,
    "position_embeddings": 0.5,
    "token_type_embeddings": 0.3,
}
GAIN = {"query": 1.5, "key": 1.5, "value": 1.5, "Wqkv": 1.5}
BIAS_DEVIATION = 0.1
NORM_DEVIATION = 0.2


def random_tensor(name: str, shape: tuple[int, ...]) -> Tensor:
    """Draw the tensor `name`: norms around 1, biases around 0, matrices that keep the variance."""
    if name.endswith("position_ids"):
        return torch.arange(shape[-1])[None]
    draw = torch.randn(shape, generator=torch.Generator().manual_seed(zlib.crc32(name.encode())))
    if len(shape) == 1:
        return 1 + NORM_DEVIATION * draw if name.endswith("weight") else BIAS_DEVIATION * draw
    for part, deviation in STANDARD_DEVIATION.items():
        if part in name:
            return deviation * draw
    gain = next((gain for part, gain in GAIN.items() if part in name), 1.0)
    return gain / math.sqrt(shape[1]) * draw


def write_checkpoint(directory: Path, recipe: Recipe) -> None:
    """Write configuration, tokenizer, sentence-transformers' side files and weights."""
    directory.mkdir(parents=True, exist_ok=True)
    write_json(directory / "config.json", recipe.config)
    write_json(directory / "tokenizer_config.json", recipe.tokenizer_config)
    recipe.tokenizer.save(str(directory / "tokenizer.json"))
    if recipe.tokenizer_config["tokenizer_class"] == "BertTokenizer":
        recipe.tokenizer.model.save(str(directory))  # vocab.txt
    write_side_files(directory, recipe)
    tensors = {
        name: draw.to(recipe.dtype) if draw.is_floating_point() else draw
        for name, draw in (
            (name, random_tensor(name, shape)) for name, shape in recipe.shapes(directory).items()
        )
    }
    save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})


def write_side_files(directory: Path, recipe: Recipe) -> None:
    """Write what sentence-transformers reads: modules, pooling, limit and prompts."""
    kinds = ["Transformer", "Pooling", *(["Normalize"] if recipe.normalize_module else [])]
    modules = [
        {
            "idx": i,
            "name": str(i),
            "path": f"{i}_{kind}" if i else "",
            "type": f"sentence_transformers.models.{kind}",
        }
        for i, kind in enumerate(kinds)
    ]
    pooling = {
        "word_embedding_dimension": dimensions_of(recipe.config),
        "pooling_mode_cls_token": recipe.pooling == "cls",
        "pooling_mode_mean_tokens": recipe.pooling == "mean",
        "pooling_mode_max_tokens": False,
        "pooling_mode_mean_sqrt_len_tokens": False,
    }
    limit = {"max_seq_length": recipe.max_input_tokens, "do_lower_case": False}
    (directory / "1_Pooling").mkdir(exist_ok=True)
    write_json(directory / "modules.json", modules)
    write_json(directory / "1_Pooling" / "config.json", pooling)
    write_json(directory / "sentence_bert_config.json", limit)
    if recipe.prompts:
        prompts = {"prompts": recipe.prompts, "default_prompt_name": None}
        write_json(directory / "config_sentence_transformers.json", prompts)


def write_json(path: Path, value: Mapping[str, Any] | list[dict[str, Any]]) -> None:
    """Write indented JSON with a newline at its end."""
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def dimensions_of(config: Mapping[str, Any]) -> int:
    """Return the hidden size under either of its names."""
    return int(config.get("hidden_size") or config["n_embd"])


def embed(encoder: Encoder, pooling: str, batch: list[list[int]], pad_id: int) -> Vectors:
    """Return unit vectors, B x D, of B lists of ids, padded on the right to the longest."""
    longest = max(map(len, batch))
    ids = torch.tensor([row + [pad_id] * (longest - len(row)) for row in batch])
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in batch])
    with torch.inference_mode():
        hidden = encoder(ids, mask)
    weights = mask[:, :, None].float()
    pooled = hidden[:, 0] if pooling == "cls" else (hidden * weights).sum(1) / weights.sum(1)
    return torch.nn.functional.normalize(pooled, dim=-1).numpy()


def compare(label: str, actual: Vectors, expected: Vectors) -> None:
    """Print the largest difference.

    Raises:
        ValueError: it reaches the tolerance.
    """
    worst = float(np.abs(actual - expected).max())
    print(f"  {label}: max abs difference {worst:.1e}")
    if worst >= TOLERANCE:
        raise ValueError(f"{label} differs by {worst}, allowed is {TOLERANCE}")


def check_with_library(directory: Path, texts: list[str], ids: list[list[int]], v: Vectors) -> None:
    """Compare ids and vectors with what sentence-transformers makes of the same directory.

    Texts that transformers' tokenizer class splits otherwise are counted and left out: it builds
    the tokenizer anew from its vocabulary. `make_parity.py` has what it makes of other settings.
    """
    model = SentenceTransformer(str(directory), device="cpu")
    seen = [model.preprocess([text])["input_ids"][0].tolist() for text in texts]
    same = [i for i, row in enumerate(seen) if row == ids[i]]
    print(f"  sentence-transformers sees the same ids for {len(same)} of {len(texts)} texts")
    vectors = model.encode([texts[i] for i in same], batch_size=1, normalize_embeddings=True)
    compare("sentence-transformers", np.asarray(vectors), v[same])


def inputs_of(recipe: Recipe) -> tuple[list[GoldenText], list[str | None]]:
    """Return the texts and, beside each, the name of its prompt or None."""
    by_name = {text.name: text for text in load_texts()}
    inputs: list[tuple[GoldenText, str | None]] = [(by_name[name], None) for name in TEXTS]
    if recipe.prompts:
        inputs += [
            (GoldenText(f"{name}/{prompt}", by_name[name].text), prompt)
            for name, prompt in PROMPTED
        ]
    return [text for text, _ in inputs], [prompt for _, prompt in inputs]


def golden_rows(directory: Path, recipe: Recipe) -> list[dict[str, Any]]:
    """Compute and check the vectors, one text at a time, and return the rows of golden.json."""
    tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
    tokenizer.enable_truncation(recipe.max_input_tokens)
    texts, prompts = inputs_of(recipe)
    prompted = [
        recipe.prompts.get(prompt or "", "") + text.text
        for text, prompt in zip(texts, prompts, strict=True)
    ]
    encodings = [tokenizer.encode(text) for text in prompted]
    ids = [encoding.ids for encoding in encodings]
    encoder = recipe.load(directory)
    pad_id = recipe.config.get("pad_token_id", 0)
    alone = np.concatenate([embed(encoder, recipe.pooling, [row], pad_id) for row in ids])
    compare("batched", embed(encoder, recipe.pooling, ids, pad_id), alone)
    if recipe.native:
        check_with_library(directory, prompted, ids, alone)
    low, mean, high = cosine_spread(alone)
    print(f"  {len(ids)} texts, {min(map(len, ids))} to {max(map(len, ids))} tokens")
    print(f"  cosine min/mean/max: {low:.3f} {mean:.3f} {high:.3f}")
    if high >= MAX_COSINE:
        raise ValueError(f"two texts have cosine {high}: the random weights say too little")
    rows = text_rows(texts, ids, alone)
    for row, prompt, encoding, vector in zip(rows, prompts, encodings, alone, strict=True):
        row |= {"prompt_name": prompt} if prompt else {}
        row |= {"truncated": True} if encoding.overflowing else {}
        row |= matryoshka(vector, recipe.matryoshka_dimensions)
    return rows


def matryoshka(vector: Vectors, sizes: tuple[int, ...]) -> dict[str, Any]:
    """Return the vector cut to each size and made unit length again; nothing without sizes."""
    if not sizes:
        return {}
    cuts = {size: vector[:size] / np.linalg.norm(vector[:size]) for size in sizes}
    return {"matryoshka": {str(size): to_base64(cut) for size, cut in cuts.items()}}


def make(architecture: str) -> None:
    """Write the checkpoint of one architecture and its golden.json."""
    print(architecture)
    recipe, directory = RECIPES[architecture](), CHECKPOINTS / architecture
    write_checkpoint(directory, recipe)
    rows = golden_rows(directory, recipe)
    head = {
        "provenance": provenance(
            f"random weights, modelled on {recipe.modelled_on}",
            directory / "model.safetensors",
            f"python tests/golden/make_checkpoints.py {architecture}",
            reference=f"{recipe.reference}, torch fp32, CPU, one thread, batch size 1",
        ),
        "max_input_tokens": recipe.max_input_tokens,
        "dimensions": dimensions_of(recipe.config),
        "pooling": recipe.pooling,
        "normalize": True,
    }
    write_golden(directory / "golden.json", head, rows)
    size = sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
    print(f"  {size / 1e6:.2f} MB, vocabulary of {recipe.tokenizer.get_vocab_size()}")


def main() -> None:
    """Make the checkpoints named on the command line, or all of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("architectures", nargs="*", choices=[*RECIPES, []], metavar="ARCHITECTURE")
    torch.set_num_threads(1)
    for architecture in parser.parse_args().architectures or RECIPES:
        make(architecture)


if __name__ == "__main__":
    main()
