from __future__ import annotations

import pytest

pytest.importorskip("llama_cpp", reason="not checked: llama.cpp is not installed")

from engine.backends.gguf_library import cure


@pytest.mark.parametrize(
    ("problem", "advice"),
    [
        ("libcuda.so.1: cannot open shared object file: No such file or directory", "a GPU"),
        ("No module named 'llama_cpp'", "extra 'gguf'"),
        ("libgomp.so.1: cannot open shared object file", "onnx engine"),
    ],
)
def test_the_advice_fits_what_is_missing(problem: str, advice: str) -> None:
    """An image for CUDA on a machine without a driver lacks no package."""
    assert advice in cure(problem)
