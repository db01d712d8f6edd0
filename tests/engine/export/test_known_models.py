from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import gguf
import pytest

from engine.errors import ExportError
from engine.export.from_gguf import _facts
from engine.export.gguf_file import GgufFile
from engine.export.known_models import KNOWN_MODELS, known_model
from engine.export.options import ExportOptions

MINI = {"embedding_length": 384, "block_count": 6, "context_length": 512}
NOMIC = {"embedding_length": 768, "block_count": 12, "context_length": 2048}


def _file(
    path: Path,
    general: Mapping[str, str],
    architecture: str = "bert",
    sizes: Mapping[str, int] = MINI,
) -> GgufFile:
    writer = gguf.GGUFWriter(path / "model.gguf", architecture)
    for key, value in sizes.items():
        writer.add_uint32(f"{architecture}.{key}", value)
    for key, text in general.items():
        writer.add_string(f"general.{key}", text)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    return GgufFile(path / "model.gguf")


@pytest.mark.parametrize(
    "general",
    [
        {"name": "all-MiniLM-L6-v2"},
        {"name": "All MiniLM L6 v2"},
        {"name": "sentence-transformers/all-MiniLM-L6-v2"},
        {"name": "model", "basename": "all-MiniLM-L6", "version": "v2"},
        {"basename": "all-MiniLM-L6-v2"},
    ],
)
def test_a_model_is_known_by_any_name_that_converters_write(
    tmp_path: Path, general: dict[str, str]
) -> None:
    found = known_model(_file(tmp_path, general))
    assert found == ("all-minilm-l6-v2", KNOWN_MODELS["all-minilm-l6-v2"])


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("all-MiniLM-L6-v3", MINI),
        ("all-MiniLM-L6-v2", MINI | {"block_count": 12}),
        ("all-MiniLM-L6-v2", MINI | {"embedding_length": 768}),
        ("nomic-embed-text-v1.5", NOMIC),
        ("", MINI),
    ],
)
def test_another_model_of_the_name_or_the_size_is_not_taken_for_it(
    tmp_path: Path, name: str, sizes: dict[str, int]
) -> None:
    assert known_model(_file(tmp_path, {"name": name}, sizes=sizes)) is None


def test_names_are_written_as_they_are_looked_up() -> None:
    assert [name for name in KNOWN_MODELS if name != name.lower() or " " in name] == []
    for model in KNOWN_MODELS.values():
        assert all(text.endswith(" ") for text in model.prompts.values())
        assert dataclasses.asdict(model)["max_input_tokens"] in (None, 128, 256)


def test_a_known_limit_and_known_prompts_are_taken_and_told(tmp_path: Path) -> None:
    facts, notes = _facts(_file(tmp_path, {"name": "All MiniLM L6 v2"}), ExportOptions())
    assert (facts.max_input_tokens, facts.prompts) == (256, {})
    assert "at most 256 tokens" in notes[0]
    assert "positions for 512" in notes[0]
    file = _file(tmp_path, {"name": "nomic-embed-text-v1.5"}, "nomic-bert", NOMIC)
    facts, notes = _facts(file, ExportOptions())
    assert facts.max_input_tokens == 2048
    assert facts.prompts["search_query"] == "search_query: "
    assert facts.default_prompt_name is None
    assert "prompts: search_query, search_document, clustering, classification" in notes[0]


def test_options_win_over_what_is_known(tmp_path: Path) -> None:
    options = ExportOptions(max_input_tokens=512, prompts={"q": "q: "}, default_prompt_name="q")
    facts, _ = _facts(_file(tmp_path, {"name": "all-MiniLM-L6-v2"}), options)
    assert (facts.max_input_tokens, facts.prompts) == (512, {"q": "q: "})
    file = _file(tmp_path, {"name": "nomic-embed-text-v1.5"}, "nomic-bert", NOMIC)
    facts, _ = _facts(file, ExportOptions(default_prompt_name="search_query"))
    assert facts.default_prompt_name == "search_query"
    with pytest.raises(ExportError, match="'query' is not among the prompts: classification"):
        _facts(file, ExportOptions(default_prompt_name="query"))


def test_an_unknown_model_names_the_options_unless_both_are_given(tmp_path: Path) -> None:
    file = _file(tmp_path, {"name": "mine"})
    facts, notes = _facts(file, ExportOptions())
    assert (facts.max_input_tokens, facts.prompts) == (512, {})
    assert "--prompt NAME=TEXT and --max-input-tokens N" in notes[0]
    given = ExportOptions(max_input_tokens=100, prompts={"q": "q: "})
    assert _facts(file, given)[1] == ()
