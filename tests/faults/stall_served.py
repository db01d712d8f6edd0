"""The real server over the default model's tokenizer, and a backend that computes nothing.

So a large request that is good takes no minute of both cores, in which probes wait for a core.

As a program: `python -m tests.faults.stall_served [field=value ...]`.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from engine.backends.fake import FakeBackend
from engine.engine import Engine
from engine.export.default_model import ensure_default_bundle
from engine.model import FileRole, ModelBundle
from engine.tokenizer import Tokenizer
from engine.types import BackendOutput, Batch
from functions.model_options import ModelOptions
from functions.settings import LogFormat, Settings
from functions.targets.server import serve


class IdleBackend(FakeBackend):
    """Computes nothing, so that what is measured is all the rest."""

    def run(self, batch: Batch) -> BackendOutput:
        """The same vector for each sequence."""
        shape = (len(batch.encodings), self.dimensions)
        return BackendOutput(pooled=np.ones(shape, dtype=np.float32))


def open_engine(model: ModelOptions) -> Engine:
    """The engine."""
    bundle = ModelBundle.open(ensure_default_bundle())
    manifest, entry = bundle.manifest, bundle.manifest.file(FileRole.TOKENIZER)
    assert entry is not None
    tokenizer = Tokenizer.from_file(
        bundle.path(entry),
        vocabulary_size=manifest.vocabulary_size,
        max_input_tokens=manifest.max_input_tokens,
        max_client_batch_size=model.max_client_batch_size,
        max_request_tokens=model.max_request_tokens,
        prompts=manifest.prompts,
    )
    backend = IdleBackend(manifest.dimensions)
    return Engine(manifest, tokenizer, backend, model.engine_config())


def main() -> None:
    values: dict[str, Any] = dict(option.split("=", 1) for option in sys.argv[1:])
    serve(Settings(log_format=LogFormat.JSON, **values), open_engine)


if __name__ == "__main__":
    main()
