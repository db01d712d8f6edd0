"""The ONNX file for infinity: what torch exports of the checkpoint, in infinity's environment."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import torch  # type: ignore[import-not-found]  # in infinity's environment
from transformers import AutoModel, AutoTokenizer  # type: ignore[import-not-found]  # likewise

_INPUTS = ["input_ids", "attention_mask", "token_type_ids"]
_OUTPUT = "last_hidden_state"


def main() -> None:
    """Write model.onnx and what belongs to it into a directory."""
    source, target = map(Path, sys.argv[1:])
    model = AutoModel.from_pretrained(source, attn_implementation="eager").eval()
    tokenizer = AutoTokenizer.from_pretrained(source)
    example = tokenizer(["a text", "another one, longer"], padding=True, return_tensors="pt")
    target.mkdir(parents=True, exist_ok=True)
    for file in (*source.glob("*.json"), source / "vocab.txt"):
        shutil.copy(file, target)
    torch.onnx.export(
        model,
        tuple(example[name] for name in _INPUTS),
        str(target / "model.partial"),
        input_names=_INPUTS,
        output_names=[_OUTPUT],
        dynamic_axes={name: {0: "batch", 1: "sequence"} for name in (*_INPUTS, _OUTPUT)},
        opset_version=17,
        dynamo=False,
    )
    (target / "model.partial").rename(target / "model.onnx")


if __name__ == "__main__":
    main()
