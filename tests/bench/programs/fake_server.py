"""`embellama serve` as it is, but with a backend that costs next to nothing.

The tokenizer, the dimensions and so the size of an answer are the default model's.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import uvicorn

from engine import Engine
from engine.config import EngineConfig
from engine.model import ModelBundle
from engine.tokenizer import Tokenizer
from engine.types import BackendOutput, Batch
from functions.app import create_app
from functions.settings import LogFormat, Settings
from functions.targets.server import serve

MODEL = "fake"
KEY = "bench-key"
HEADERS = {
    "authorization": f"Bearer {KEY}",
    "origin": "https://example.org",
    "accept-encoding": "zstd, br, gzip",
    "x-request-timeout-ms": "60000",
}
"""What makes every middleware do its work."""
_PER_MINUTE = 10**12
_BARE = "--bare"


class ConstantBackend:
    """Gives every sequence the same vector: what is left to measure is not the runtime's."""

    name = "fake"
    device = "cpu"
    precision = "fp32"
    concurrency = 2
    max_batch_sequences = 2048
    preferred_batch_tokens = 256
    max_padding = 0.1
    free_padding_tokens = 16
    express_tokens = 0

    def __init__(self, dimensions: int) -> None:
        generator = np.random.default_rng(0)
        self._vector = generator.standard_normal((1, dimensions), dtype=np.float32)

    def run(self, batch: Batch) -> BackendOutput:
        """One vector for each sequence."""
        return BackendOutput(pooled=np.repeat(self._vector, len(batch.encodings), axis=0))

    def close(self) -> None:
        """Nothing to free."""


def fake_engine(bundle_directory: str) -> Engine:
    """The engine of a bundle, but for its backend."""
    bundle = ModelBundle.open(bundle_directory)
    manifest = bundle.manifest
    config = EngineConfig()
    tokenizer = Tokenizer.from_file(
        bundle.directory / "tokenizer.json",
        vocabulary_size=manifest.vocabulary_size,
        max_input_tokens=manifest.max_input_tokens,
        max_client_batch_size=config.max_client_batch_size,
        max_request_tokens=config.max_request_tokens,
        prompts=manifest.prompts,
    )
    return Engine(manifest, tokenizer, ConstantBackend(manifest.dimensions), config)


def full_settings(port: int = 0) -> Settings:
    """Everything on."""
    return Settings(
        model_name=MODEL,
        port=port,
        log_format=LogFormat.JSON,
        api_key=(f"bench:{KEY}",),
        cors_origin=("https://example.org",),
        requests_per_minute=_PER_MINUTE,
        tokens_per_minute=_PER_MINUTE,
    )


def python_command(port: int, bundle: Path, *, bare: bool = False) -> list[str]:
    """How to start it."""
    return [
        *(sys.executable, "-m", "tests.bench.programs.fake_server", str(port), str(bundle)),
        *([_BARE] if bare else []),
    ]


def main() -> None:
    """Serve on a port: with everything on, or with no middleware but what the route needs."""
    port, bundle = int(sys.argv[1]), sys.argv[2]
    if _BARE not in sys.argv:
        serve(full_settings(port), lambda _: fake_engine(bundle))
        return
    from tests.bench.programs.middleware_shares import without_any

    app = create_app(Settings(model_name=MODEL), fake_engine(bundle))
    config = uvicorn.Config(
        without_any(app), port=port, log_config=None, access_log=False, lifespan="off", ws="none"
    )
    uvicorn.Server(config).run()


if __name__ == "__main__":
    main()
