"""Settings: each option is a field, declared once. `settings_sources` reads their values."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from engine.config import EngineConfig
from engine.errors import ConfigurationError
from functions.body_limits import BYTES_A_TOKEN, body_bytes_for
from functions.hosts import AllowedHosts
from functions.model_options import ModelOptions, Models, repeated_name
from functions.option_types import Hosts, Secrets, Strings

_NAMES = ("model_name", "served_model_name")
_PASSWORD_IN_URL = re.compile(r"(\w+://)[^/@\s]*@")
ENV_PREFIX = "EMBELLAMA_"


def _default_body_bytes(fields: dict[str, Any]) -> int:
    """For the model that takes most; a field that is not valid is missing here."""
    own: int = fields.get("max_request_tokens", 0)
    models: Models = fields.get("models", ())
    is_said = [(model, "max_request_tokens" in model.model_fields_set) for model in models]
    most = (model.max_request_tokens if said else own for model, said in is_said)
    return body_bytes_for(max(most, default=own))


class SettingsError(ConfigurationError):
    """An option is unknown or has a value that it can't have."""


class LogLevel(StrEnum):
    """The least severe log line that is written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(StrEnum):
    """How a log line looks."""

    AUTO = "auto"
    JSON = "json"
    CONSOLE = "console"


class Settings(EngineConfig, BaseSettings):
    """All options. Built directly, it reads nothing but its arguments; see `settings_sources`."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix=ENV_PREFIX, env_ignore_empty=True
    )

    model_path: str | None = Field(
        None,
        min_length=1,
        description="Model to serve: the path of a bundle, a GGUF file, a checkpoint or an ONNX "
        "directory, ORG/NAME@REVISION of the hub, or s3://BUCKET/PREFIX. What is not a bundle is "
        "made into one in the user's cache, once. On the command line also as a bare MODEL. By "
        "default all-MiniLM-L6-v2, which may be said by that name, too.",
    )
    offline: bool = Field(
        default=False,
        description="Never use the network for a model: take what was fetched before.",
    )
    model_name: str | None = Field(
        None,
        min_length=1,
        description="Name that clients ask for; by default the name in the bundle's manifest.",
    )
    served_model_name: Strings = Field(
        (),
        description="Name that clients may ask for, beside the model's own; the first one "
        "(model_name, if given) is in the answers. Repeatable (in the environment: commas).",
    )
    models: Models = Field(
        (),
        description="Several models instead of model_path: tables of path, name, aliases and "
        "engine options (as a flag or in the environment: JSON).",
    )
    host: Hosts = Field(
        ("127.0.0.1",),
        min_length=1,
        description="Address or name to listen on; :: is every address, of IPv4 too. Repeatable "
        "(in the environment: commas).",
    )
    port: int = Field(
        8080, ge=0, le=65535, description="Port to listen on; 0 takes any free port and logs it."
    )
    tls_cert: Path | None = Field(
        None,
        description="Certificate in PEM format; with it the server speaks HTTPS, and nothing else.",
    )
    tls_key: Path | None = Field(
        None,
        description="Private key of the certificate in PEM format, without a passphrase; "
        "by default it is looked for in the certificate's file.",
    )
    otlp_endpoint: str | None = Field(
        None,
        pattern=r"^https?://\S+$",
        description="OTLP/HTTP collector to send traces to, such as http://localhost:4318; "
        "OTEL_EXPORTER_OTLP_HEADERS and OTEL_TRACES_SAMPLER are honoured too.",
    )
    max_body_bytes: int = Field(
        default_factory=_default_body_bytes,
        ge=1024,
        description="Bytes that the body of a request may have; by default "
        f"{BYTES_A_TOKEN} a token of max_request_tokens, rounded up to a MiB.",
    )
    shutdown_timeout_seconds: float = Field(
        30.0,
        gt=0,
        le=3600,
        description="Seconds that requests in flight have to end after SIGTERM.",
    )
    log_level: LogLevel = Field(LogLevel.INFO, description="Least severe log line to write.")
    log_format: LogFormat = Field(
        LogFormat.AUTO, description="Log lines as json or console; auto is console on a terminal."
    )
    api_key: Secrets = Field(
        (),
        description="Key that a client must send, bare or as name:key; the name is logged. "
        "Repeatable (in the environment: commas). None means that anybody may ask.",
    )
    api_key_file: Path | None = Field(
        None,
        description="File of further API keys, one a line; read anew when it has changed.",
    )
    admin_key: SecretStr | None = Field(
        None, description="Key for /admin, which does not exist without one."
    )
    metrics_require_key: bool = Field(
        default=True, description="Whether /metrics needs an API key where keys are on."
    )

    request_timeout_seconds: float = Field(
        600.0,
        gt=0,
        le=86400,
        description="Seconds from a request's headers to its answer; a client may ask for less "
        "in x-request-timeout-ms.",
    )
    head_timeout_seconds: float = Field(
        30.0,
        gt=0,
        le=3600,
        description="Seconds from the first byte of a request to the end of its headers, and from "
        "the end of its body to that of its trailers; then its connection is closed.",
    )
    max_connections: int = Field(
        8192,  # twice what the benches open; an idle one takes 8 KB
        ge=1,
        description="Connections that the server has at a time. When they are reached, the one "
        "that is idle for longest is closed, or if none is, a new one gets 503.",
    )
    max_inflight_body_bytes: int = Field(
        256 * 1024 * 1024,  # 64 indexing clients with 2,048 texts of 2 KB each
        ge=1024,
        description="Bytes of requests that the server holds at a time, from their coming to their "
        "answer, beyond 16 KiB of each connection; a body beyond that gets 503. Two bodies of "
        "max_body_bytes always fit. Answers that clients do not read have as much room.",
    )
    min_body_bytes_per_second: int = Field(
        500,  # half of what the slowest network that is left (GPRS) sends; Apache's default
        ge=0,
        description="Bytes a second of a request's body that must come in each "
        "body_grace_seconds, and of a large answer that must be read; 0 waits as long as the "
        "request may take, and for ever for the reading.",
    )
    body_grace_seconds: float = Field(
        30.0,  # a change of the cell or a tunnel is shorter
        gt=0,
        le=3600,
        description="Seconds over which min_body_bytes_per_second is measured, so that a client "
        "may stall for less.",
    )
    cors_origin: Strings = Field(
        (),
        description="Origin whose pages may ask from a browser, such as https://example.org, "
        "or *. Repeatable (in the environment: commas). None means that CORS is off.",
    )
    allowed_host: Strings = Field(
        (),
        description="Host that requests may be for, such as example.org, *.example.org or "
        "[::1]:8080; others get 400, but for probes and documents. Repeatable (in the environment: "
        "commas). None means any, but where the server listens on a loopback address, a request of "
        "a browser may be for localhost or an address only.",
    )
    compression: bool = Field(
        default=True,
        description="Compress answers as the client accepts (gzip, and br and zstd where "
        "installed), but not base64 vectors.",
    )
    requests_per_minute: int | None = Field(
        None, ge=1, description="Requests a minute that a client (key or address) may send."
    )
    tokens_per_minute: int | None = Field(
        None, ge=1, description="Tokens a minute that a client (key or address) may have computed."
    )
    rate_limit_storage: SecretStr | None = Field(
        None,
        description="redis:// or rediss:// URL where several replicas count together; "
        "by default each counts for itself.",
    )
    trusted_proxy_hops: int = Field(
        0,
        ge=0,
        le=16,
        description="Proxies in front that add to X-Forwarded-For; 0 takes the peer's address.",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the names are pydantic-settings'
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take arguments only: `settings_sources` reads the others and keeps their names."""
        return (init_settings,)

    def engine_config(self) -> EngineConfig:
        """The part of the settings that is the engine's."""
        return EngineConfig(**{name: getattr(self, name) for name in EngineConfig.model_fields})

    @field_validator("allowed_host")
    @classmethod
    def _check_allowed_host(cls, hosts: Strings) -> Strings:
        AllowedHosts(hosts)
        return hosts

    @field_validator("models")
    @classmethod
    def _check_models(cls, models: Models, info: ValidationInfo) -> Models:
        single = [name for name in ("model_path", *_NAMES) if info.data.get(name)]
        if models and single:
            raise ValueError(f"{single[0]} is for a single model; put it into the tables")
        repeated = repeated_name(models)
        if repeated is not None:
            raise ValueError(f"two models have the name {repeated}")
        return models

    def model_options(self) -> tuple[ModelOptions, ...]:
        """What each model is, the engine's options of the whole server filled in."""
        names = [name for name in (self.model_name, *self.served_model_name) if name]
        single = ModelOptions(
            path=self.model_path, name=names[0] if names else None, aliases=tuple(names[1:])
        )
        return tuple(model.over(self.engine_config()) for model in self.models or (single,))

    def redacted(self) -> dict[str, object]:
        """All settings as plain values for logs, secrets masked."""
        values = self.model_dump(mode="json")
        return {
            name: _PASSWORD_IN_URL.sub(r"\1***@", value) if isinstance(value, str) else value
            for name, value in values.items()
        }
