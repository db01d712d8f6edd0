"""llama.cpp's library, or what to do where it can't be loaded."""

from __future__ import annotations

import atexit
from types import ModuleType

from engine.errors import ConfigurationError


def cure(problem: str) -> str:
    """What helps against this error of the import, in a sentence."""
    if "libcuda." in problem:
        return (
            "It was built for CUDA, and there is no NVIDIA driver here: give the container a GPU, "
            "or take the image or the package for CPUs."
        )
    return "Install it with the extra 'gguf', or choose the onnx engine."


def no_gpu_message(system_info: bytes) -> str:
    """Why llama.cpp computes on no GPU, by what it says of its build, and what helps."""
    reason = "the installed llama-cpp-python was built for CPUs only"
    advice = "build it anew with CMAKE_ARGS=-DGGML_CUDA=on"
    if b"CUDA" in system_info:
        reason = "llama.cpp finds none"
        advice = "see that `nvidia-smi` lists one here, and in a container, that it is given to it"
    return f"A GPU was asked for, but {reason}. Start without --gpu, or {advice}."


def _close_at_exit(module: ModuleType) -> None:
    """llama-cpp-python opens /dev/null twice when it is imported, and never closes it.

    Left open, each is a ResourceWarning when the interpreter ends.
    """
    for name in ("outnull_file", "errnull_file"):
        file = getattr(module, name, None)
        if file is not None:
            atexit.register(file.close)


try:
    import llama_cpp._utils as llama_files
    import llama_cpp.llama_cpp as llama
except (ImportError, OSError, RuntimeError) as exc:  # RuntimeError: its library can't be loaded
    raise ConfigurationError(
        f"The gguf engine needs llama-cpp-python, which can't be imported: {exc}. {cure(str(exc))}"
    ) from exc

_close_at_exit(llama_files)

__all__ = ["cure", "llama", "no_gpu_message"]
