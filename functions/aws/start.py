"""A cold start: settings -> bundle -> engine -> application -> handler, each part timed."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from engine import Engine
from engine.config import EngineConfig
from engine.cpu import available_cpus
from engine.errors import EmbellamaError
from engine.types import Truncate
from functions.app import create_app
from functions.aws.api_keys import ApiKeySource
from functions.aws.environment import LambdaEnvironment
from functions.aws.handler import LambdaHandler
from functions.aws.limits import LambdaLimits
from functions.aws.phases import Phases, write_report
from functions.aws.settings import LambdaSettings
from functions.aws.speed import Speed
from functions.models import ModelRegistry, ServedModel
from functions.observability import configure_logging, get_logger
from functions.settings import LogFormat, LogLevel
from functions.settings_sources import load_settings_of
from functions.version import version

OpenEngine = Callable[[LambdaSettings, EngineConfig], Engine]
_BUNDLE_NAME = "model"
_WARM_UP_TEXT = "a text of some length that warms the runtime up and tells how fast it is " * 4


def start(
    phases: Phases,
    environ: Mapping[str, str] = os.environ,
    open_engine: OpenEngine | None = None,
) -> LambdaHandler:
    """Make the handler of this execution environment.

    Raises:
        EmbellamaError: it can't start; the reason has been logged in one line.
    """
    configure_logging(LogLevel.INFO, LogFormat.JSON)  # Until the settings are known.
    try:
        return _start(phases, LambdaEnvironment.read(environ), open_engine)
    except EmbellamaError as exc:
        get_logger().error("init failed", error=type(exc).__name__, reason=exc.message)
        raise


def _start(
    phases: Phases, environment: LambdaEnvironment, open_engine: OpenEngine | None
) -> LambdaHandler:
    settings = load_settings_of(LambdaSettings)
    is_auto = settings.log_format is LogFormat.AUTO
    configure_logging(settings.log_level, LogFormat.JSON if is_auto else settings.log_format)
    keys = _fetch_keys(settings)
    if keys is not None:
        settings = settings.model_copy(update={"api_key_file": keys.file})
    phases.end("settings")
    config = _engine_config(settings, environment)
    opener = open_engine or (lambda wanted, config: _open(wanted, config, environment, phases))
    engine = opener(settings, config)
    phases.end("session")
    batch_tokens = config.max_batch_tokens or engine.backend.preferred_batch_tokens
    speed = Speed(threads=config.threads or 1, max_batch_tokens=batch_tokens)
    options = settings.model_options()[0]
    model = ServedModel(options.name, options.aliases, options.path)
    model.subscribe(speed.observe)
    model.be_ready(engine)
    app = create_app(settings, ModelRegistry([model]), LambdaLimits(speed))
    phases.end("application")
    _warm_up(engine, speed, environment)
    phases.end("warm_up")
    handler = LambdaHandler(
        app,
        base_path=settings.api_gateway_base_path,
        before_request=None if keys is None else keys.refresh,
    )
    _report(phases, engine, environment)
    return handler


def _fetch_keys(settings: LambdaSettings) -> ApiKeySource | None:
    if settings.api_key_source is None:
        return None
    return ApiKeySource(
        settings.api_key_source,
        settings.cache_directory,
        refresh_seconds=settings.api_key_refresh_seconds,
    )


def _engine_config(settings: LambdaSettings, environment: LambdaEnvironment) -> EngineConfig:
    config = settings.engine_config()
    if config.threads is not None:
        return config
    return config.model_copy(update={"threads": environment.threads(available_cpus())})


def _open(
    settings: LambdaSettings, config: EngineConfig, environment: LambdaEnvironment, phases: Phases
) -> Engine:
    """Open the bundle; with one thread inline, else on threads, which sleep between events."""
    directory = _bundle(settings, environment)
    phases.end("bundle")
    return Engine.open(directory, config, inline=config.threads == 1)


def _bundle(settings: LambdaSettings, environment: LambdaEnvironment) -> Path:
    """The directory at `model_path`, or what is fetched from there; by default one in the code."""
    source = settings.model_path or str(environment.root / _BUNDLE_NAME)
    if Path(source).is_dir() or settings.model_path is None:
        return Path(source)
    from engine.model import FileRole
    from engine.sources import FileFilter, resolve

    roles = {FileRole.TOKENIZER, FileRole.ONNX, FileRole.ONNX_DATA, FileRole.GOLDEN}
    precision = None if settings.precision == "auto" else settings.precision
    return resolve(
        source,
        cache_directory=settings.cache_directory,
        files=FileFilter(frozenset(roles), precision),
        progress=lambda line: get_logger().info("bundle", step=line),
    )


def _warm_up(engine: Engine, speed: Speed, environment: LambdaEnvironment) -> None:
    """Run once, so that no request pays for what is done at the first run."""
    engine.embed(_WARM_UP_TEXT, truncate=Truncate.END)
    speed.throttle(environment.cpus)


def _report(phases: Phases, engine: Engine, environment: LambdaEnvironment) -> None:
    fields = {
        "FunctionName": environment.function_name,
        "version": version(),
        "model": engine.manifest.name,
        "space": engine.space,
        "engine": engine.backend.name,
        "precision": engine.backend.precision,
        "initialization": environment.initialization,
    }
    write_report(phases, fields, sys.stdout)
