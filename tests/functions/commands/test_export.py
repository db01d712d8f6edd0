from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from engine.export.optimum_export import is_installed
from engine.model import FileRole, ModelBundle
from engine.types import Pooling
from functions.cli import main

CHECKPOINT = Path(__file__).parents[2] / "golden" / "checkpoints" / "bert"


def _export(*arguments: str | Path) -> int:
    return main(["export", *map(str, arguments)])


def test_it_makes_a_bundle_and_says_what_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _export(CHECKPOINT, "--output", tmp_path / "x") == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("name              bert\n")
    assert "[1/5] writing model.gguf (f32) ..." in captured.err
    ModelBundle.open(tmp_path / "x").verify_hashes()


def test_every_option_is_honoured(tmp_path: Path) -> None:
    flags = "--name n --pooling mean --no-normalize --max-input-tokens 64 --default-prompt q"
    more = "--gguf f16 --gguf q8_0 --onnx none --matryoshka 16 --matryoshka 32"
    prompts = ["--prompt", "q=query: a=b ", "--prompt", "d=document: ", "--prompt", "none="]
    arguments = [*flags.split(), *more.split(), *prompts]
    assert _export(CHECKPOINT, "--output", tmp_path / "x", *arguments) == 0
    manifest = ModelBundle.open(tmp_path / "x").manifest
    assert (manifest.name, manifest.pooling, manifest.normalize) == ("n", Pooling.MEAN, False)
    assert manifest.max_input_tokens == 64
    assert manifest.prompts == {"q": "query: a=b ", "d": "document: ", "none": ""}
    assert (manifest.default_prompt_name, manifest.matryoshka_dimensions) == ("q", (32, 16))
    assert [row.precision for row in manifest.files if row.role is FileRole.GGUF] == ["f16", "q8_0"]
    assert manifest.file(FileRole.ONNX) is None


def test_force_replaces_another_bundle(tmp_path: Path) -> None:
    assert _export(CHECKPOINT, "--output", tmp_path / "x", "--gguf", "none") == 0
    again = (CHECKPOINT, "--output", tmp_path / "x", "--name", "other", "--gguf", "none")
    assert _export(*again) == 1
    assert _export(*again, "--force") == 0
    assert ModelBundle.open(tmp_path / "x").manifest.name == "other"


@pytest.mark.parametrize(
    ("source", "options", "code", "words"),
    [
        ("none", [], 1, "none"),
        (".", [], 1, "is nothing that can be exported"),
        (CHECKPOINT, ["--gguf", "q2_k"], 1, "'q2_k'"),
        (CHECKPOINT, ["--pooling", "max"], 2, "--pooling"),
        (CHECKPOINT, ["--prompt", "q"], 2, "'q' is not of the form NAME=TEXT"),
        (CHECKPOINT, ["--max-input-tokens", "0"], 2, "not a whole number from 1 on"),
        (CHECKPOINT, ["--matryoshka", "65"], 1, "matryoshka_dimensions: 65 is not within 64"),
        (CHECKPOINT, ["--max-input-tokens", "2"], 1, "greater than or equal to 3"),
        (CHECKPOINT, ["--otput", "y"], 2, "--otput is not an option"),
    ],
)
def test_a_failure_is_one_error_line_and_leaves_nothing(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    source: str | Path,
    options: list[str],
    code: int,
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert _export(source, "--output", tmp_path / "x", *options) == code
    captured = capsys.readouterr()
    errors = [line for line in captured.err.splitlines() if line.startswith("embellama export: ")]
    assert captured.out == ""
    assert captured.err.splitlines()[-1:] == errors
    assert words in errors[0]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["LlamaForCausalLM", "T5ForConditionalGeneration"])
@pytest.mark.parametrize("positions", [{}, {"max_position_embeddings": 2048}])
def test_a_model_that_generates_text_is_refused_as_such(
    kind: str, positions: dict[str, int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything is asked of it that only an embedding model says."""
    checkpoint = tmp_path / "chat"
    checkpoint.mkdir()
    config = {"architectures": [kind], "model_type": "llama", **positions}
    (checkpoint / "config.json").write_text(json.dumps(config))
    (checkpoint / "model.safetensors").write_bytes(b"")
    assert _export(checkpoint, "--output", tmp_path / "x") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "The architecture 'llama' is not supported. Supported: bert, " in line
    assert f"{kind} is a model that generates text" in line
    assert "take an embedding model" in line
    assert ("--pooling" in line) == is_installed()  # Else no pooling helps.


def test_a_generator_of_a_known_architecture_is_told_what_helps(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is not called unsupported: with a pooling it is exported."""
    checkpoint = tmp_path / "generator"
    shutil.copytree(CHECKPOINT, checkpoint)
    (checkpoint / "modules.json").unlink()
    config = json.loads((checkpoint / "config.json").read_bytes())
    changed = config | {"architectures": ["BertLMHeadModel"]}
    (checkpoint / "config.json").write_text(json.dumps(changed))
    assert _export(checkpoint, "--output", tmp_path / "x") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "not supported" not in line
    assert "embellama export with --pooling" in line
    assert _export(checkpoint, "--output", tmp_path / "x", "--pooling", "mean") == 0


def test_a_decoder_with_a_pooling_is_not_refused_as_such(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Some embedding models are checkpoints of decoders; these are for optimum."""
    checkpoint = tmp_path / "decoder"
    checkpoint.mkdir()
    config = {"architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3"}
    (checkpoint / "config.json").write_text(json.dumps(config))
    (checkpoint / "model.safetensors").write_bytes(b"")
    assert _export(checkpoint, "--output", tmp_path / "x", "--pooling", "last_token") == 1
    assert "generates text" not in capsys.readouterr().err
