from __future__ import annotations

from pathlib import Path

import pytest
import tokenizers

from engine.errors import ExportError
from engine.export.checkpoint import Checkpoint
from engine.export.gguf_file import GgufFile
from engine.export.gguf_tokenizer import tokenizer_of_gguf
from engine.export.gguf_writer import write_gguf
from engine.export.golden_maker import golden_texts
from engine.export.tokenizer_check import (
    compare_with_llama_cpp,
    difference_to_own,
    known_differences,
)
from engine.types import Pooling
from tests.engine.export.conftest import GOLDEN

CHECKPOINTS = GOLDEN / "checkpoints"
WORDPIECE_DIFFERENCES = [
    "over-long-word",
    "control-marks",
    "korean-medium",
    "hindi-long",
    "korean-long",
    "mixed-scripts-long",
]
DIFFERENCES_TO_LLAMA_CPP = {
    "bert": WORDPIECE_DIFFERENCES,
    "nomic-bert": WORDPIECE_DIFFERENCES,
    "jina-bert-v2": WORDPIECE_DIFFERENCES,
    "roberta": [],
    "xlm-roberta": ["accents-nfd"],
}
DIFFERENCES_TO_OWN = {"xlm-roberta": ["html-full"]}
"""GGUF has Unigram's scores as float32; of two ways to split a text, equally likely in float32,
this checkpoint's float64 scores prefer another one than llama.cpp and we do."""


class Made:
    def __init__(self, name: str, directory: Path) -> None:
        checkpoint = Checkpoint.open(CHECKPOINTS / name)
        self.name = name
        self.path = directory / "model.gguf"
        self.own = checkpoint.tokenizer_json
        write_gguf(checkpoint, self.path, name=name, pooling=Pooling.MEAN)
        self.tokenizer = tokenizer_of_gguf(GgufFile(self.path))


@pytest.fixture(scope="module", params=sorted(DIFFERENCES_TO_LLAMA_CPP))
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made(str(request.param), tmp_path_factory.mktemp("made"))


def test_every_small_checkpoint_is_here() -> None:
    assert set(DIFFERENCES_TO_LLAMA_CPP) == {path.name for path in CHECKPOINTS.iterdir()}


def test_a_tokenizer_made_of_gguf_is_the_checkpoints_own(made: Made) -> None:
    own = tokenizers.Tokenizer.from_str(made.own)
    other = [
        name
        for name, text in golden_texts()
        if own.encode(text).ids != made.tokenizer.encode(text).ids
    ]
    assert other == DIFFERENCES_TO_OWN.get(made.name, [])
    notes = difference_to_own(made.tokenizer, made.own)
    assert [note.rsplit(": ", 1)[1] for note in notes] == other


def test_it_is_llama_cpps_but_for_known_causes(made: Made) -> None:
    pytest.importorskip("llama_cpp", reason="llama.cpp is not installed: it was not compared")
    lines: list[str] = []
    notes = compare_with_llama_cpp(made.tokenizer, made.path, lines.append)
    assert lines == list(notes)
    assert [note.split("'")[1] for note in notes] == DIFFERENCES_TO_LLAMA_CPP[made.name]


def test_a_saved_tokenizer_is_read_back_the_same(made: Made) -> None:
    again = tokenizers.Tokenizer.from_str(made.tokenizer.to_str())
    for _, text in golden_texts():
        assert again.encode(text).ids == made.tokenizer.encode(text).ids


def test_a_difference_of_no_known_cause_shows_the_text(made: Made) -> None:
    def other(text: str) -> list[int]:
        ids = made.tokenizer.encode(text).ids
        return [*ids[:1], 7, *ids[2:]] if text == "hello" else ids

    with pytest.raises(ExportError, match=r"'one-token': 'hello'\. At token 1: "):
        known_differences(made.tokenizer, other)


def test_a_known_cause_does_not_excuse_the_rest_of_its_text(tmp_path: Path) -> None:
    made = Made("bert", tmp_path)

    def other(text: str) -> list[int]:
        ids = made.tokenizer.encode(text).ids
        is_hindi = text in {row for name, row in golden_texts() if name == "hindi-long"}
        return [] if is_hindi or len(ids) > 20 else ids

    with pytest.raises(ExportError, match="no known cause"):
        known_differences(made.tokenizer, other)
