"""docs/clients/typescript: checked by the compiler, and run with Node against a live server."""

from __future__ import annotations

import shutil

from tests.clients.conftest import CLIENTS, written_by
from tests.contract.environments import node_environment
from tests.docs.answers import difference

SOURCE = CLIENTS / "typescript"
EXPECTED = """
...
384 dimensions, 13 tokens, similarity 0.714
cut to 256 tokens
vector space ...
refused: context_length_exceeded, input
"""


def test_it_writes_what_it_should(variables: dict[str, str]) -> None:
    environment = node_environment(SOURCE)
    for name in ("embed.ts", "tsconfig.json"):
        shutil.copy(SOURCE / name, environment)
    written = written_by(["npm", "start"], variables, environment)
    differs = difference(EXPECTED, written, "")
    assert differs is None, differs
