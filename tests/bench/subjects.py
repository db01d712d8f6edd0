"""Who is measured: our server, the bare runtime, and the peers that can be had here."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import numpy as np

from engine.export.default_model import (
    DEFAULT_MODEL_NAME,
    ensure_default_bundle,
    installed_checkpoint,
)
from tests.bench.corpus import SHORT_QUERY
from tests.bench.environments import (
    CACHE,
    INFINITY,
    LLAMA_CPP,
    OPENVINO,
    ROOT,
    SENTENCE_TRANSFORMERS,
    UnavailableError,
)
from tests.bench.figures import Figures
from tests.bench.processes import HttpServer, Program, program_path

OURS = "ours"
RUNGS = ("int8", "bf16")
PEERS = ("infinity", "llama_cpp", "llama_cpp-q8_0", "sentence-transformers")
_SAME_MODEL = 0.99
_CORES = str(len(os.sched_getaffinity(0)))


def open_ours(*options: str, precision: str = "fp32", name: str = OURS) -> HttpServer:
    """`embellama serve` as anybody starts it, with the default model; logs go to a file.

    Raises:
        UnavailableError: what this precision needs can't be had here.
    """
    if precision != "fp32":
        options = (*options, "--model-path", str(rungs_bundle()))
    return HttpServer(
        name,
        lambda port: [
            *(sys.executable, "-m", "functions.cli", "serve", "--port", str(port)),
            *("--log-format", "json", "--precision", precision, *options),
        ],
        model=DEFAULT_MODEL_NAME,
        environment=with_openvino() if precision == "bf16" else None,
    )


def rungs_bundle() -> Path:
    """The default model in each precision that its files can have, certified on each runtime.

    Raises:
        UnavailableError: OpenVINO can't be had, or the export failed.
    """
    bundle = CACHE / f"rungs-{ensure_default_bundle().name}"
    if not bundle.is_dir():
        command = [sys.executable, "-m", "functions.cli", "export", str(ensure_default_bundle())]
        command += ["--output", str(bundle), "--gguf", "none"]
        for precision in ("fp32", "q8_0", "int8"):
            command += ["--onnx", precision]
        _run("export", command, with_openvino())
    return bundle


def with_openvino() -> dict[str, str]:
    """Variables with which this interpreter finds OpenVINO.

    Raises:
        UnavailableError: it can't be had.
    """
    OPENVINO.ensure()
    return {"PYTHONPATH": str(OPENVINO.packages)}


def open_bare_runtime() -> Program:
    """ONNX Runtime over the bundle's graph, in the best simple loop."""
    return open_program("bare_runtime", str(ensure_default_bundle()))


def open_program(
    name: str, *arguments: str, environment: Mapping[str, str] | None = None
) -> Program:
    """One of our programs, with this interpreter."""
    command = [sys.executable, "-m", f"tests.bench.programs.{name}", *arguments]
    return Program(name, command, environment)


def open_infinity() -> HttpServer:
    """Infinity with optimum, over the ONNX file that torch exports of the checkpoint."""
    INFINITY.ensure()
    model = CACHE / "infinity-model"
    if not (model / "model.onnx").is_file():
        program = str(program_path("export_checkpoint"))
        source = str(installed_checkpoint())
        _run("export_checkpoint", [str(INFINITY.python), program, source, str(model)])
    return HttpServer(
        "infinity",
        lambda port: [
            *(str(INFINITY.python.with_name("infinity_emb")), "v2", "--model-id", str(model)),
            *("--engine", "optimum", "--device", "cpu", "--no-model-warmup"),
            *("--pooling-method", "mean"),
            *("--served-model-name", "model", "--host", "127.0.0.1", "--port", str(port)),
        ],
        model="model",
        path="/embeddings",
    )


def open_llama_cpp(precision: str | None = None) -> HttpServer:
    """llama_cpp.server over the bundle's GGUF file, or one quantised from it."""
    LLAMA_CPP.ensure()
    bundle = ensure_default_bundle() if precision is None else _quantised(precision)
    return HttpServer(
        "llama_cpp" if precision is None else f"llama_cpp-{precision}",
        lambda port: [
            *(str(LLAMA_CPP.python), "-m", "llama_cpp.server", "--model"),
            *(str(bundle / "model.gguf"), "--embedding", "true", "--n_ctx", "512"),
            *("--n_threads", _CORES, "--n_threads_batch", _CORES),
            *("--host", "127.0.0.1", "--port", str(port), "--verbose", "false"),
        ],
        model="model",
    )


def _quantised(precision: str) -> Path:
    bundle = CACHE / f"{precision}-{ensure_default_bundle().name}"
    if not bundle.is_dir():
        command = [sys.executable, "-m", "functions.cli", "export", str(ensure_default_bundle())]
        command += ["--output", str(bundle), "--gguf", precision, "--onnx", "none"]
        _run("export", command)
    return bundle


def open_sentence_transformers() -> Program:
    """sentence-transformers on torch, in process."""
    SENTENCE_TRANSFORMERS.ensure()
    return Program(
        "sentence-transformers",
        [
            str(SENTENCE_TRANSFORMERS.python),
            str(program_path("sentence_transformers_loop")),
            str(installed_checkpoint()),
        ],
    )


@contextmanager
def peers(wanted: Sequence[str], figures: Figures) -> Iterator[list[HttpServer]]:
    """The peers that speak HTTP, ready; those that can't be had are noted instead."""
    openers: dict[str, Callable[[], HttpServer]] = {
        "infinity": open_infinity,
        "llama_cpp": open_llama_cpp,
        "llama_cpp-q8_0": lambda: open_llama_cpp("q8_0"),
    }
    with ExitStack() as stack:
        chosen = {name: opener for name, opener in openers.items() if name in wanted}
        yield _open_ready(chosen, figures, stack)


def open_rungs(figures: Figures, stack: ExitStack) -> list[HttpServer]:
    """Our server in its fast precisions; those that can't be had are noted instead."""
    openers = {
        precision: partial(open_ours, precision=precision, name=f"{OURS}-{precision}")
        for precision in RUNGS
    }
    return _open_ready(openers, figures, stack)


def _open_ready(
    openers: Mapping[str, Callable[[], HttpServer]], figures: Figures, stack: ExitStack
) -> list[HttpServer]:
    ready = []
    for name, opener in openers.items():
        try:
            server = stack.enter_context(opener())
            server.wait_until_ready()
        except UnavailableError as exc:
            figures.note(f"{name} is left out: {exc}")
        else:
            ready.append(server)
    return ready


def note_likeness(ours: HttpServer, others: Sequence[HttpServer], figures: Figures) -> None:
    """Say how close the vectors of the peers are: a peer must compute the same model."""
    vector = ours.embed([SHORT_QUERY])[0]
    for other in others:
        theirs = other.embed([SHORT_QUERY])[0]
        cosine = float(vector @ theirs / np.linalg.norm(vector) / np.linalg.norm(theirs))
        figures.note(f"cosine of {other.name} to ours, short query: {cosine:.6f}")
        if cosine < _SAME_MODEL:
            figures.note(f"{other.name} does not compute the same vectors")


def bundle_file(name: str) -> Path:
    """A file of the default bundle."""
    return ensure_default_bundle() / name


def _run(name: str, command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
    variables = {**os.environ, **(environment or {})}
    done = subprocess.run(
        command, cwd=ROOT, env=variables, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        words = done.stderr.strip().splitlines()
        raise UnavailableError(f"{name} failed: {words[-1] if words else 'silently'}")
