from __future__ import annotations

import pytest

from engine.errors import UnsupportedArchitectureError
from engine.export import architectures


def test_every_row_of_the_table_is_found_by_its_names() -> None:
    for row in architectures._ALL:
        assert architectures.architecture_of_gguf(row.name) is row
        assert architectures.architecture_of_checkpoint(row.checkpoint_type) is row


@pytest.mark.parametrize("name", ["llama", "", "BERT"])
def test_an_unknown_architecture_names_the_known_ones(name: str) -> None:
    with pytest.raises(UnsupportedArchitectureError, match=r"Supported: .*bert"):
        architectures.architecture_of_gguf(name)
