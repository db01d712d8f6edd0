"""Run by the function's Python with the zip's code: warm calls of the handler and of the engine.

The two take turns, so that whatever else the machine does meets both. Prints one line of JSON.
"""

from __future__ import annotations

import gc
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

from engine import Engine
from engine.config import EngineConfig
from functions.aws.environment import LambdaEnvironment
from functions.aws.phases import Phases
from functions.aws.settings import LambdaSettings
from functions.aws.start import start

TEXT = "how warm is a function that has just run"


class _Context:
    aws_request_id = "00000000-0000-0000-0000-000000000000"

    def get_remaining_time_in_millis(self) -> int:
        return 60_000


def main(calls: int) -> None:
    """Measure `calls` of each."""
    engines: list[Engine] = []
    bundle = LambdaEnvironment.read(os.environ).root / "model"

    def keep(_: LambdaSettings, config: EngineConfig) -> Engine:
        engines.append(Engine.open(bundle, config, inline=config.threads == 1))
        return engines[-1]

    handler = start(Phases(), open_engine=keep)
    [engine] = engines
    body = json.dumps({"model": engine.manifest.name, "input": TEXT, "encoding_format": "base64"})
    event = {
        "version": "2.0",
        "headers": {"content-type": "application/json", "host": "localhost"},
        "rawQueryString": "",
        "requestContext": {
            "http": {"method": "POST", "path": "/v1/embeddings", "sourceIp": "127.0.0.1"},
            "stage": "$default",
        },
        "body": body,
        "isBase64Encoded": False,
    }
    context = _Context()
    if handler(event, context)["statusCode"] != 200:
        raise SystemExit("the handler does not answer")
    gc.collect()
    seconds: dict[str, list[float]] = {"handler": [], "engine": []}
    for _ in range(calls):
        seconds["handler"].append(_timed(lambda: handler(event, context)))
        seconds["engine"].append(_timed(lambda: engine.embed(TEXT)))
    status = Path("/proc/self/status").read_text("utf-8")
    resident = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    found: dict[str, float] = {"resident_mb": int(resident.split()[1]) * 1024 / 1e6}
    for name, values in seconds.items():
        found[f"{name}_p50"] = statistics.median(values) * 1000
        found[f"{name}_p99"] = statistics.quantiles(values, n=100)[98] * 1000
    found["tokens_per_second"] = statistics.median(_speed(engine) for _ in range(3))
    print(json.dumps(found))


def _speed(engine: Engine) -> float:
    """Tokens a second of 64 texts of 12 to 138 tokens, as many as a client may send at once."""
    texts = [f"{number} " + "the cat sat on the mat " * (1 + number % 22) for number in range(64)]
    started = time.perf_counter()
    tokens = engine.embed(texts).usage.prompt_tokens
    return tokens / (time.perf_counter() - started)


def _timed(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


if __name__ == "__main__":
    main(int(sys.argv[1]))
