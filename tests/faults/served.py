"""The real server over a fake backend that does wrong what a file says, as long as it says so.

As a program: `python -m tests.faults.served FAULT_FILE [field=value ...]`.
"""

from __future__ import annotations

import select
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from engine.backends.fake import FakeBackend
from engine.engine import Engine
from engine.errors import BackendError
from engine.golden import GoldenText
from engine.testing import fake_engine, fake_tokenizer
from engine.types import BackendOutput, Batch
from functions.model_options import ModelOptions
from functions.settings import LogFormat, Settings
from functions.targets.server import serve
from tests.functions.ports import free_port
from tests.infra.served import Served, running
from tests.infra.tools import until

MODEL = "fake-model"
TEXTS = ("the cat", "a dog sat on the mat", "red", "the blue house runs", "tree", "a cat runs")
SLOW_SECONDS = 0.05
_LOOK_SECONDS = 0.01


class FaultyBackend(FakeBackend):
    """Raises, hangs, is slow, or gives NaN to every sequence that has a word.

    `hangs once` is a hang of the first run that comes then, in whichever engine.
    """

    def __init__(self, fault: Path, concurrency: int = 1) -> None:
        super().__init__(concurrency=concurrency)
        self._fault = fault

    def run(self, batch: Batch) -> BackendOutput:
        """Compute a batch, or what the file wants instead."""
        kind, _, word = self._wanted().partition(" ")
        if kind == "raises":
            raise BackendError("The backend is told to raise.")
        if kind == "slow":
            time.sleep(SLOW_SECONDS)
        hangs_while = {"hangs"}
        if (kind, word) == ("hangs", "once"):
            self._fault.write_text("one hangs", "utf-8")
            hangs_while.add("one hangs")
        while self._wanted() in hangs_while:
            select.select([], [], [], _LOOK_SECONDS)  # libfaketime breaks `time.sleep`
        output = super().run(batch)
        return output if kind != "nan" else _with_nan(output, batch, word)

    def _wanted(self) -> str:
        return self._fault.read_text("utf-8").strip()


def _with_nan(output: BackendOutput, batch: Batch, word: str) -> BackendOutput:
    token = fake_tokenizer().token_to_id(word)
    assert output.token_vectors is not None
    return BackendOutput(
        token_vectors=tuple(
            np.full_like(vectors, np.nan) if token in encoding.input_ids else vectors
            for encoding, vectors in zip(batch.encodings, output.token_vectors, strict=True)
        )
    )


def golden() -> list[GoldenText]:
    """The texts with the vectors of a backend that does nothing wrong."""
    with fake_engine() as engine:
        vectors = engine.embed(list(TEXTS)).vectors
        encodings = engine.tokenizer.encode(list(TEXTS))
    return [
        GoldenText(text, text, encoding.input_ids, vector)
        for text, encoding, vector in zip(TEXTS, encodings, vectors, strict=True)
    ]


@contextmanager
def started(
    fault: Path, clock: Mapping[str, str] | None = None, **options: object
) -> Iterator[Served]:
    """A server that is ready and does nothing wrong yet. `clock` is its environment, too."""
    fault.write_text("", "utf-8")
    given = {"port": free_port(), "log_level": "warning"} | options
    arguments = [f"{name}={value}" for name, value in given.items()]
    command = [sys.executable, "-m", "tests.faults.served", str(fault), *arguments]
    port, log = int(str(given["port"])), fault.with_suffix(".log")
    with running(command, port, log, clock) as server:
        until(server.is_ready, "the server is not ready")
        yield server


def main() -> None:
    fault, *options = sys.argv[1:]
    values: dict[str, Any] = dict(option.split("=", 1) for option in options)
    settings = Settings(log_format=LogFormat.JSON, **values)

    def open_engine(model: ModelOptions) -> Engine:
        backend = FaultyBackend(Path(fault), model.threads or 1)
        return fake_engine(backend=backend, config=model.engine_config())

    serve(settings, open_engine)


if __name__ == "__main__":
    main()
