"""The Python programs of docs/clients against a live server."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.clients.conftest import CLIENTS, written_by
from tests.contract.environments import python_environment
from tests.docs.answers import difference

FOUND = """
0.568  Bread rises because yeast makes gas.
0.111  A tyre should be changed when its tread is worn.
"""
EXPECTED = {
    "python_openai": """
384 dimensions, 13 tokens, similarity 0.714
cut to 256 tokens
vector space ...
refused: context_length_exceeded, input
""",
    "python_openai_async": "1000 vectors of 384 dimensions",
    "python_langchain": FOUND,
}


def _check(shown: str, written: str) -> None:
    differs = difference(shown, written, "")
    assert differs is None, differs


@pytest.mark.parametrize("name", EXPECTED)
def test_a_program_writes_what_it_should(name: str, variables: dict[str, str]) -> None:
    command: list[str | Path] = [sys.executable, "-W", "error", CLIENTS / f"{name}.py"]
    _check(EXPECTED[name], written_by(command, variables))


def test_llamaindex_finds_what_langchain_finds(variables: dict[str, str]) -> None:
    python = python_environment("llamaindex")
    command: list[str | Path] = [python, "-I", CLIENTS / "python_llamaindex.py"]
    _check(FOUND, written_by(command, variables))


def _search(texts: Path, query: str, *options: str) -> list[str | Path]:
    """Without any package: `-I` and `-S` leave out the environment's."""
    program = CLIENTS / "python_search.py"
    return [sys.executable, "-I", "-S", program, texts, query, *options]


def test_a_search_needs_nothing_but_python(variables: dict[str, str]) -> None:
    command = _search(CLIENTS / "texts.txt", "my wifi stopped working", "--top", "1")
    _check(
        "0.513  Turn the router off, wait ten seconds, and turn it on again.",
        written_by(command, variables),
    )


def test_a_search_ranks_all_texts_of_a_large_file(
    variables: dict[str, str], tmp_path: Path
) -> None:
    """More texts than a request has here, empty lines between, and one that is too long."""
    texts = tmp_path / "texts"
    lines = [f"Number {number}." for number in range(300)] + ["", "The cat purrs.", "word " * 400]
    texts.write_text("\n".join(lines), "utf-8")
    ranked = written_by(_search(texts, "a purring cat", "--top", "1000"), variables).splitlines()
    assert len(ranked) == 302
    assert ranked[0].endswith("The cat purrs.")


def test_a_search_says_what_the_server_says(variables: dict[str, str]) -> None:
    command = _search(CLIENTS / "texts.txt", "anything")
    result = subprocess.run(
        command, env=variables | {"OPENAI_API_KEY": "wrong"}, capture_output=True, text=True
    )
    assert result.returncode == 1
    assert result.stderr.startswith("The server answered 401: The API key is not valid")


def test_the_example_has_a_hundred_texts() -> None:
    lines = (CLIENTS / "texts.txt").read_text("utf-8").splitlines()
    assert len(set(lines)) == 100


def test_curl(variables: dict[str, str]) -> None:
    """Its last request is refused, and it says so; all others succeed."""
    written = written_by(["sh", CLIENTS / "curl.sh"], variables)
    assert written.count("# ") == 6
    assert written.count('"error"') == 1
    assert written.endswith("(curl failed, as it should)\n")
