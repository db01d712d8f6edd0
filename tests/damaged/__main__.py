"""Runs cases, each in a child with bounded memory and time, and prints those that went wrong."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from contextlib import suppress
from pathlib import Path

from engine.config import BackendChoice, EngineConfig
from engine.engine import Engine
from engine.errors import ConfigurationError, EmbellamaError
from functions.cli import main as run_command
from tests.damaged.cases import KINDS, Command, Kind, make_case
from tests.damaged.models import make_models

_BEFORE_THE_FORK = (
    "engine.backends.gguf",
    "engine.backends.onnx",
    "engine.backends.openvino",
    "engine.export.exporter",
    "engine.export.from_bundle",
    "engine.export.from_checkpoint",
    "engine.export.from_gguf",
    "engine.export.from_onnx",
    "functions.commands.export",
    "functions.commands.info",
    "functions.commands.verify",
)
"""What takes long to import; a runtime may be missing."""
_MEMORY_BYTES = 1 << 30
"""What a case may take beyond what the parent has."""
_CPU_SECONDS = 40
_SECONDS = 240
"""Only a guard against what hangs without computing: other work may keep the machine busy."""
_ESCAPED = 3
_NOISE = re.compile(r"Traceback|Warning|\[E:|\[W:|terminate called|GGML_ASSERT|panicked|Exception")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.damaged")
    parser.add_argument("--seed", default="1")
    parser.add_argument("--count", type=int, default=10, help="cases of each kind")
    parser.add_argument("--first", type=int, default=0, help="index of the first case")
    parser.add_argument("--kind", action="append", choices=KINDS, help="repeatable; default: all")
    parser.add_argument(
        "--seconds",
        type=float,
        default=float("inf"),
        help="begin none after this, but for one of each kind",
    )
    args = parser.parse_args()
    for module in _BEFORE_THE_FORK:
        with suppress(ImportError, ConfigurationError):
            importlib.import_module(module)
    wrong = done = 0
    end = time.monotonic() + args.seconds
    with tempfile.TemporaryDirectory() as directory:
        models = Path(directory, "models")
        models.mkdir()
        _in_child(lambda: make_models(models), models / "log")
        for index in range(args.first, args.first + args.count):
            for name in args.kind or KINDS:
                if index > args.first and time.monotonic() > end:
                    break
                problem = _run(KINDS[name], f"{args.seed}-{name}-{index}", models, Path(directory))
                done += 1
                if done % 100 == 0:
                    sys.stderr.write(f"{done} cases\n")
                if problem:
                    wrong += 1
                    row = {"kind": name, "index": index, "seed": args.seed, "problem": problem}
                    sys.stdout.write(json.dumps(row) + "\n")
                    sys.stdout.flush()
    sys.stdout.write(json.dumps({"cases": done, "wrong": wrong}) + "\n")
    return 1 if wrong or not done else 0


def _run(kind: Kind, seed: str, models: Path, directory: Path) -> str | None:
    """Damage a model and give it to all commands; what went wrong, or None."""
    case = directory / "case"
    source = make_case(kind, seed, models, case)
    try:
        for command in kind.commands:
            log = directory / "log"
            status = _in_child(lambda command=command: _command(command, source, case), log)
            shutil.rmtree(case / "output", ignore_errors=True)
            problem = _judge(status, log.read_text("utf-8", "replace"))
            if problem:
                return f"{command[0]}: {problem}"
        return None
    finally:
        shutil.rmtree(case)


def _in_child(work: object, log: Path) -> int:
    """Fork, do the work there with bounded memory and time; the wait status."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    code = _ESCAPED
    try:
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        limit = used + _MEMORY_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CPU, (_CPU_SECONDS, _CPU_SECONDS))
        cpus = sorted(os.sched_getaffinity(0))  # of several, threads would wait for each other
        os.sched_setaffinity(0, {cpus[os.getpid() % len(cpus)]})
        signal.alarm(_SECONDS)
        file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, 1)
        os.dup2(file, 2)
        code = work() or 0  # type: ignore[operator] # whatever it is, it is called
    except BaseException:  # noqa: BLE001 - the log says which, the parent judges it
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _command(command: Command, source: Path, case: Path) -> int:
    if command[0] == "serve":
        return _serve(source, command[2] if len(command) > 2 else "auto")
    arguments = [command[0], str(source)]
    if command[0] == "export":
        arguments += ["--output", str(case / "output")]
    return run_command(arguments)


def _serve(bundle: Path, backend: str) -> int:
    """What the server does at its start."""
    try:
        engine = Engine.open(bundle, EngineConfig(engine=BackendChoice(backend), threads=1))
    except EmbellamaError as exc:
        sys.stderr.write(f"embellama serve: {' '.join(exc.message.split())}\n")
        return 1
    engine.close()
    return 0


def _judge(status: int, log: str) -> str | None:
    lines = [line for line in log.splitlines() if line.strip()]
    last = lines[-1][:300] if lines else ""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        hangs = number in (signal.SIGALRM, signal.SIGXCPU)
        return f"{'hangs' if hangs else signal.Signals(number).name}: {last}"
    code = os.WEXITSTATUS(status)
    if code == _ESCAPED:
        where = [line.strip() for line in lines if line.strip().startswith("File ")]
        return f"escaped: {last} {where[-1][-120:] if where else ''}"
    noise = [line for line in lines if _NOISE.search(line) and not line.startswith("embellama ")]
    if noise:
        return f"noise: {noise[0][:300]}"
    if code and not re.match(r"embellama \w+: \S", last) and "FAILED" not in last:
        return f"code {code} without a line: {last}"
    return None


if __name__ == "__main__":
    sys.exit(main())
