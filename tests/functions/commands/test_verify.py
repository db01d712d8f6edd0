from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from engine.golden import reference_of_weights
from engine.verify import FileReport, VerifyReport
from functions.cli import main
from functions.commands import verify
from tests.engine.certificates import agreement

CHECKPOINT = Path(__file__).parents[2] / "golden" / "checkpoints" / "bert"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> str:
    output = str(tmp_path_factory.mktemp("verify") / "bundle")
    assert main(["export", str(CHECKPOINT), "--output", output]) == 0
    return output


def test_the_table_has_a_row_for_each_file(bundle: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", bundle]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    gguf, onnx = (line for line in lines if line and line[0].startswith("model."))
    assert onnx[:3] == ["model.onnx", "onnx", "fp32"]
    assert onnx[-2:] == ["0.9999", "passed"]
    if importlib.util.find_spec("llama_cpp") is None:
        assert "not checked: llama-cpp-python is not installed" in " ".join(gguf)
    else:
        assert gguf[-1] == "passed"
    assert lines[-1] == ["passed"]


def test_json_has_the_same(bundle: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", bundle, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["passed"], document["texts"], document["other_ids"]) == (True, 64, [])
    onnx = next(row for row in document["files"] if row["backend"] == "onnx")
    assert onnx["agreement"]["min_cosine"] >= 0.9999


def test_an_altered_file_is_one_line_and_exit_code_1(
    bundle: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path(bundle) / "tokenizer.json"
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"WordPiece", b"wORDpIECE"))
    try:
        assert main(["verify", bundle]) == 1
    finally:
        path.write_bytes(whole)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert "tokenizer.json has the SHA-256" in captured.err


def test_failures_and_what_was_not_checked_say_why() -> None:
    failed = agreement(
        path="b.onnx",
        min_cosine=0.5,
        mean_cosine=0.6,
        max_abs_diff=0.7,
        top10_agreement=0.8,
        passed=False,
    )
    report = VerifyReport(
        space="s",
        reference="r",
        texts=64,
        other_ids=("emoji",),
        files=(
            FileReport("a.gguf", "gguf", "f32", not_checked="it is not installed"),
            FileReport("b.onnx", "onnx", "fp32", failed),
            FileReport("c.onnx", "onnx", "q8_0", error="can't load"),
            FileReport("d.onnx", "onnx", "fp32", agreement()),
            FileReport("e.onnx", "onnx", "fp32", agreement(), certified_cosine=0.999, refused=True),
        ),
    )
    lines = [" ".join(line.split()) for line in verify._table(report).splitlines()]
    assert "token ids FAILED, they differ for: emoji" in lines
    assert "a.gguf gguf f32 - - - - - not checked: it is not installed" in lines
    assert "b.onnx onnx fp32 0.5000000 0.6000000 7.0e-01 0.800 0.9999 FAILED" in lines
    assert "c.onnx onnx q8_0 - - - - - FAILED: can't load" in lines
    assert any(
        line.startswith("d.onnx")
        and line.endswith("passed, but was not measured when the bundle was made")
        for line in lines
    )
    assert any(
        line.startswith("e.onnx")
        and line.endswith("FAILED: its certificate has 0.9990000, so it is not served")
        for line in lines
    )
    assert lines[-1] == "FAILED"


def test_a_cosine_to_a_quantised_file_is_never_without_a_word_of_it() -> None:
    report = VerifyReport(
        space="s",
        reference=reference_of_weights("q4_k_m"),
        texts=64,
        other_ids=(),
        files=(
            FileReport("a.onnx", "onnx", "fp32", agreement(min_cosine=1.0), certified_cosine=1.0),
        ),
    )
    lines = [" ".join(line.split()) for line in verify._table(report).splitlines()]
    (row,) = (line for line in lines if "1.0000000" in line)
    assert row.endswith("passed, against the quantised file itself")
