"""Throughput on a GPU: GGUF and ONNX at several batch sizes, and who else computes the same.

`make bench-gpu` prints one line a measurement, as Markdown, with date and machine. Everything runs
after one another on the same texts: our engine, llama.cpp in a bare loop, and torch in fp16
(sentence-transformers, with `--torch-python` where another environment has it).
"""

from __future__ import annotations

import argparse
import datetime as dt
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from engine import Engine
from engine.config import BackendChoice, EngineConfig
from engine.errors import EmbellamaError
from engine.export.default_model import installed_checkpoint
from engine.model import FileRole, ModelBundle
from tests.bench.machine import describe
from tests.bench.programs.llama_loop import LlamaLoop
from tests.bench.texts import mixed
from tests.gpu.bundle import gpu_bundle

BATCH_TOKENS = (256, 1024, 4096, 16384)
_FILES = ((BackendChoice.GGUF, "f16"), (BackendChoice.GGUF, "q8_0"), (BackendChoice.ONNX, "fp32"))
_REPEATS = 3


def gpu_name() -> str | None:
    """Name and driver of the first GPU, or None where there is none."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    query = [program, "--query-gpu=name,driver_version", "--format=csv,noheader"]
    result = subprocess.run(query, capture_output=True, text=True)
    return result.stdout.splitlines()[0] if result.returncode == 0 and result.stdout else None


def best_rate(run: Callable[[], object], texts: int) -> float:
    """Texts a second of the fastest of a few runs, after one that warms up."""
    run()
    seconds = []
    for _ in range(_REPEATS):
        started = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - started)
    return texts / min(seconds)


def report(what: str, batch_tokens: object, rate: float | str) -> None:
    """One row of the table."""
    shown = rate if isinstance(rate, str) else f"{rate:,.0f}"
    print(f"| {what} | {batch_tokens} | {shown} |", flush=True)


def measure_ours(bundle: Path, texts: Sequence[str], *, gpu: bool) -> None:
    """Our engine, each file at each size of batches."""
    for backend, precision in _FILES:
        what = f"embellama, {backend.value} {precision}"
        for tokens in BATCH_TOKENS:
            config = EngineConfig(
                engine=backend, precision=precision, gpu=gpu, max_batch_tokens=tokens
            )
            try:
                with Engine.open(bundle, config) as engine:
                    report(what, tokens, best_rate(lambda: engine.embed(list(texts)), len(texts)))
            except EmbellamaError as exc:
                report(what, tokens, f"not measured: {exc.message}")
                break


def measure_llama(bundle: Path, texts: Sequence[str], *, gpu: bool) -> None:
    """llama.cpp without us, on the ids that we give it too."""
    opened = ModelBundle.open(bundle)
    with Engine.open(bundle, EngineConfig(engine=BackendChoice.ONNX)) as engine:
        ids = [encoding.input_ids for encoding in engine.tokenizer.encode(list(texts))]
    for precision in ("f16", "q8_0"):
        entry = opened.manifest.file(FileRole.GGUF, precision)
        if entry is None:
            report(f"llama.cpp, bare loop, {precision}", "-", "not measured: no such file")
            continue
        for tokens in BATCH_TOKENS:
            with LlamaLoop(opened.path(entry), ids, batch_tokens=tokens, gpu=gpu) as loop:
                rate = best_rate(loop.embed, len(texts))
            report(f"llama.cpp, bare loop, {precision}", tokens, rate)


def measure_torch(python: str, texts: Sequence[str], *, gpu: bool) -> None:
    """sentence-transformers in fp16 on a GPU, fp32 on a CPU, by a program of its own."""
    program = Path(__file__).parent / "programs" / "torch_fp16.py"
    device = "cuda" if gpu else "cpu"
    command = [python, str(program), str(installed_checkpoint()), device]
    result = subprocess.run(command, input="\n".join(texts), capture_output=True, text=True)
    for line in result.stdout.splitlines():
        batch, rate = line.split()
        report(f"sentence-transformers, torch {'fp16' if gpu else 'fp32'}", batch, float(rate))
    if result.returncode != 0:
        last = (result.stderr.strip().splitlines() or ["no reason given"])[-1]
        report("sentence-transformers, torch", "-", f"not measured: {last}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--texts", type=int, default=4096)
    parser.add_argument("--torch-python", default=sys.executable)
    options = parser.parse_args()
    gpu = options.device == "cuda"
    name = gpu_name()
    if gpu and name is None:
        print("not checked: no GPU")
        return 0
    texts, bundle = mixed(options.texts), gpu_bundle()
    print(f"{dt.datetime.now(dt.UTC):%Y-%m-%d}, {name or 'no GPU'}, {describe()}")
    print(f"{len(texts)} texts of 5 to 256 tokens\n\n| what | batch | texts/s |\n|---|---|---|")
    measure_ours(bundle, texts, gpu=gpu)
    measure_llama(bundle, texts, gpu=gpu)
    measure_torch(options.torch_python, texts, gpu=gpu)
    return 0


if __name__ == "__main__":
    sys.exit(main())
