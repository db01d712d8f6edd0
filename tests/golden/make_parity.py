"""Write what sentence-transformers makes of each case of the parity matrix.

    python tests/golden/make_parity.py [CASE ...]

The vectors are those of `encode`, one text at a time: as the checkpoint says, of any length.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from golden_file import provenance, to_base64
from overlay import CHECKPOINTS, copy_with
from parity_cases import CASES, PROMPTED_TEXTS, TEXTS, Case
from sentence_transformers import SentenceTransformer

OUTPUT = Path(__file__).with_name("parity.json")
MAX_MESSAGE = 160


def compute(case: Case, directory: Path) -> dict[str, Any]:
    """Load the checkpoint and return ids and vectors of the texts, or why it can't be loaded."""
    try:
        model = SentenceTransformer(str(directory), device="cpu")
        rows = [row(model, text, prompt) for prompt in case.prompts for text in texts_of(prompt)]
    except Exception as exc:  # noqa: BLE001 - whatever the libraries raise is recorded
        return {"refused": f"{type(exc).__name__}: {' '.join(str(exc).split())}"[:MAX_MESSAGE]}
    return {
        "max_seq_length": min(int(model.max_seq_length), 1 << 30),
        "similarity": model.similarity_fn_name,
        "texts": rows,
    }


def texts_of(prompt: str | None) -> tuple[str, ...]:
    """All texts, and a few of them with each prompt."""
    return tuple(TEXTS) if prompt is None else PROMPTED_TEXTS


def row(model: SentenceTransformer, name: str, prompt: str | None) -> dict[str, Any]:
    """The ids that the model saw of one text, and its vector."""
    features = model.preprocess([TEXTS[name]], prompt=model._resolve_prompt(None, prompt))
    vector = model.encode(TEXTS[name], prompt_name=prompt)
    return {
        "text": name,
        **({} if prompt is None else {"prompt_name": prompt}),
        "input_ids": features["input_ids"][0].tolist(),
        "embedding": to_base64(np.asarray(vector, dtype=np.float32)),
    }


def make(case: Case) -> dict[str, Any]:
    """One case with its files and what came of them."""
    with tempfile.TemporaryDirectory() as work:
        directory = copy_with(case.base, case.files, Path(work) / "checkpoint")
        found = compute(case, directory)
        shutil.rmtree(directory)
    print(f"{case.name}: {found.get('refused') or len(found['texts'])}")
    return {"name": case.name, "base": case.base, "files": case.files, **found}


def main() -> None:
    """Make the cases named on the command line and show them, or make all and write them."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    wanted = sys.argv[1:]
    cases = [make(case) for case in CASES if not wanted or case.name in wanted]
    if wanted:
        print(json.dumps(cases, ensure_ascii=False, indent=1)[:20000])
        return
    head = {
        "provenance": provenance(
            "the checkpoints beside this file, changed as `files` say",
            CHECKPOINTS / "bert" / "model.safetensors",
            "python tests/golden/make_parity.py",
            reference="sentence-transformers `encode`, torch, CPU, one thread, one text at a time",
        ),
        "texts": TEXTS,
    }
    shorten(cases)
    opening = json.dumps(head, indent=2, ensure_ascii=True)[:-2]
    lines = ",\n".join("    " + json.dumps(case) for case in cases)
    OUTPUT.write_text(f'{opening},\n  "cases": [\n{lines}\n  ]\n}}\n', encoding="utf-8")
    print(f"{len(cases)} cases, {OUTPUT.stat().st_size / 1e6:.2f} MB")


def shorten(cases: list[dict[str, Any]]) -> None:
    """A case that came out as an earlier one did says its name in the place of the texts."""
    known: dict[str, str] = {}
    for case in cases:
        if "texts" in case:
            key = json.dumps(case["texts"])
            if key in known:
                case["texts"] = known[key]
            else:
                known[key] = case["name"]


if __name__ == "__main__":
    main()
