"""A manifest that fits the files beside it again."""

from __future__ import annotations

import json
from pathlib import Path

from engine.model import fingerprint, sha256_of
from engine.types import Pooling


def fit_manifest(path: Path) -> None:
    """Sizes, hashes and fingerprint as whoever plants a damaged file would write them."""
    manifest = json.loads(path.read_bytes())
    for row in manifest["files"]:
        file = path.parent / row["path"]
        row["sha256"], row["bytes"] = sha256_of(file), file.stat().st_size
    tokenizer = next(row["sha256"] for row in manifest["files"] if row["role"] == "tokenizer")
    manifest["fingerprint"] = fingerprint(
        weights_sha256=manifest["weights_sha256"],
        tokenizer_sha256=tokenizer,
        pooling=Pooling(manifest["pooling"]),
        normalize=manifest["normalize"],
        max_input_tokens=manifest["max_input_tokens"],
        prompts=manifest["prompts"],
        default_prompt_name=manifest["default_prompt_name"],
    )
    path.write_text(json.dumps(manifest))
