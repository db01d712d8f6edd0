"""tiktoken's own encodings, without the network that it fetches their vocabularies from."""

from __future__ import annotations

import gzip
import importlib.util
import os
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import tiktoken

_CACHED_NAMES = {
    "cl100k_base": "9b5ad71b2ce5302211f9c61530b329a4922fc6a4",
    "o200k_base": "fb374d419588a4632f3f557e76b4b70aebbca790",
}
"""By which tiktoken looks for them in its cache. It checks their hashes by itself."""


def fill_cache(directory: Path) -> dict[str, str]:
    """The variables with which tiktoken finds both vocabularies in this directory."""
    package = importlib.util.find_spec("bpe_openai")
    assert package is not None
    assert package.submodule_search_locations is not None
    root = package.submodule_search_locations[0]
    for name, cached in _CACHED_NAMES.items():
        packed = (Path(root) / "data" / f"{name}.tiktoken.gz").read_bytes()
        (directory / cached).write_bytes(gzip.decompress(packed))
    return {"TIKTOKEN_CACHE_DIR": str(directory)}


@cache
def encoding_of(name: str) -> tiktoken.Encoding:
    """What tiktoken itself makes of the vocabulary."""
    with TemporaryDirectory() as directory, patch.dict(os.environ, fill_cache(Path(directory))):
        return tiktoken.get_encoding(name)
