"""Opens the engine that the settings ask for, and tells the log what runs and why."""

from __future__ import annotations

import time
from collections.abc import Callable

from engine import Engine
from engine.cpu import available_cpus
from functions.model_options import ModelOptions
from functions.models import ModelState, ServedModel
from functions.observability import get_logger, tell_start


def load(model: ServedModel, open_engine: Callable[[], Engine], started: float) -> None:
    """Open the engine of a model; log what runs, why, and the seconds since `started`.

    Raises:
        EmbellamaError: the model can't be opened at all.
    """
    model.load(open_engine)
    seconds = round(time.monotonic() - started, 2)
    if model.state is ModelState.READY:
        told = _describe(model.engine)
        text = (
            f"Ready: {model.name}, {told['dimensions']} dimensions, {told['engine']} "
            f"{told['precision']} on {told['device']}, after {seconds} s"
        )
        tell_start("model ready", text, model=model.name, **told, seconds=seconds)
    else:
        get_logger().error("model not ready", reason=model.detail, seconds=seconds)


def _describe(engine: Engine) -> dict[str, object]:
    """What runs, and why: for the log at the start."""
    return {
        "engine": engine.backend.name,
        "reason": engine.reason,
        "precision": engine.backend.precision,
        "device": engine.backend.device,
        "threads": engine.config.threads or available_cpus(),
        "space": engine.space,
        "dimensions": engine.manifest.output_dimensions,
        "max_input_tokens": engine.max_input_tokens,
    }


def open_configured_engine(model: ModelOptions, *, offline: bool = False) -> Engine:
    """Open the bundle of `path`, or the default model's; it may have to be fetched or made."""
    from engine.backends import check_installed
    from engine.bundles import ensure_bundle  # only where no engine was given
    from engine.export.progress import to_stderr

    check_installed(model.engine)  # before anything is fetched or made
    directory = ensure_bundle(model.path, offline=offline, progress=to_stderr)
    return Engine.open(directory, model.engine_config())
