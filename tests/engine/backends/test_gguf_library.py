from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip("llama_cpp", reason="not checked: llama.cpp is not installed")

from engine.backends.gguf_library import cure, no_gpu_message


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


@pytest.mark.parametrize(
    ("system_info", "advice"),
    [
        (b"CPU : AVX2 = 1 | ", "CMAKE_ARGS=-DGGML_CUDA=on"),
        (b"CUDA : ARCHS = 800 | CPU : AVX2 = 1 | ", "nvidia-smi"),
    ],
)
def test_the_advice_on_a_gpu_fits_the_build(system_info: bytes, advice: str) -> None:
    """A build for CPUs needs another build, one for CUDA needs a GPU."""
    assert advice in no_gpu_message(system_info)


def test_the_library_leaves_no_file_open_at_the_end() -> None:
    command = [sys.executable, "-W", "error", "-c", "import engine.backends.gguf_library"]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ended.stderr == ""
