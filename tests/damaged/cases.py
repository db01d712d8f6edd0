"""What is damaged, how, and which commands have to bear it."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.damaged.manifests import fit_manifest
from tests.damaged.mutations import (
    damage_bytes,
    damage_gguf,
    damage_json,
    damage_onnx,
    damage_safetensors,
)

Damage = Callable[[random.Random, bytes], bytes]
Command = Sequence[str]
_INFO, _VERIFY, _EXPORT = ("info", "SOURCE"), ("verify", "SOURCE"), ("export", "SOURCE")
_SERVE, _SERVE_GGUF = ("serve", "SOURCE"), ("serve", "SOURCE", "gguf")


@dataclass(frozen=True)
class Kind:
    """One of `files` of `form` is damaged; its manifest, if it has one, is made to fit."""

    form: str
    files: Sequence[str]
    damage: Damage
    commands: Sequence[Command]
    source: str = ""
    """The file to export, where it isn't the whole directory."""


KINDS = {
    "gguf": Kind("bundle", ["model.gguf"], damage_gguf, [_EXPORT], source="model.gguf"),
    "gguf-in-bundle": Kind("bundle", ["model.gguf"], damage_gguf, [_INFO, _VERIFY, _SERVE_GGUF]),
    "onnx": Kind("onnx", ["model.onnx"], damage_onnx, [_EXPORT]),
    "onnx-in-bundle": Kind("bundle", ["model.onnx"], damage_onnx, [_INFO, _VERIFY, _SERVE]),
    "onnx-data": Kind("bundle", ["model.onnx_data"], damage_bytes, [_VERIFY, _SERVE]),
    "safetensors": Kind("checkpoint", ["model.safetensors"], damage_safetensors, [_EXPORT]),
    "config": Kind(
        "checkpoint",
        [
            "config.json",
            "config.json",
            "modules.json",
            "sentence_bert_config.json",
            "config_sentence_transformers.json",
            "tokenizer_config.json",
            "1_Pooling/config.json",
        ],
        damage_json,
        [_EXPORT],
    ),
    "tokenizer": Kind("checkpoint", ["tokenizer.json"], damage_json, [_EXPORT]),
    "manifest": Kind("bundle", ["manifest.json"], damage_json, [_INFO, _VERIFY, _SERVE, _EXPORT]),
    "tokenizer-in-bundle": Kind("bundle", ["tokenizer.json"], damage_json, [_VERIFY, _SERVE]),
    "golden": Kind("bundle", ["golden.json"], damage_json, [_VERIFY, _SERVE, _EXPORT]),
}


def make_case(kind: Kind, seed: str, models: Path, directory: Path) -> Path:
    """Copy the model, damage it, and say what to give to the commands."""
    random_ = random.Random(seed)  # noqa: S311 - the same case each time, and no secret
    shutil.copytree(models / kind.form, directory)
    path = directory / random_.choice(kind.files)
    if path.exists():
        path.write_bytes(kind.damage(random_, path.read_bytes()))
    manifest = directory / "manifest.json"
    if manifest.exists() and path != manifest:
        fit_manifest(manifest)
    return directory / kind.source
