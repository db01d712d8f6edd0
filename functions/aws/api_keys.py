"""API keys from SSM Parameter Store or Secrets Manager, as the file that the key ring watches."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from engine.errors import ConfigurationError
from functions.observability import get_logger

Fetch: TypeAlias = Callable[[str], str]
_FILE_NAME = "api-keys"
_OWNER_ONLY = 0o600
_TIMEOUT_SECONDS = 3
_ATTEMPTS = 3


class ApiKeySource:
    """Fetches the keys at start, and again when they have become old and somebody asks.

    Keys that can't be fetched anew stay as they are: the failure is logged, and the next attempt
    comes after as long again. The file is replaced at once, readable by its owner only, in the
    function's own /tmp.
    """

    def __init__(
        self,
        source: str,
        directory: Path,
        *,
        refresh_seconds: float,
        fetch: Fetch | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Fetch the keys.

        Raises:
            ConfigurationError: they can't be fetched, or the file can't be written.
        """
        self.file = directory / _FILE_NAME
        self._source = source
        self._refresh_seconds = refresh_seconds
        self._fetch = fetch or fetch_secret
        self._clock = clock
        try:
            self._text = self._fetch(source)
            directory.mkdir(parents=True, exist_ok=True)
            self._write(self._text)
        except OSError as exc:
            raise ConfigurationError(f"{self.file} can't be written: {exc.strerror}.") from exc
        self._fetched = clock()

    def refresh(self) -> None:
        """Fetch the keys anew if they are old."""
        if self._clock() - self._fetched < self._refresh_seconds:
            return
        self._fetched = self._clock()
        try:
            text = self._fetch(self._source)
            if text != self._text:
                self._write(text)
                self._text = text
        except (ConfigurationError, OSError) as exc:
            get_logger().error("API keys not fetched anew", reason=str(exc))

    def _write(self, text: str) -> None:
        partial = self.file.with_suffix(".new")
        partial.unlink(missing_ok=True)
        with os.fdopen(
            os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ONLY), "w"
        ) as file:
            file.write(text)
        partial.replace(self.file)


def fetch_secret(source: str) -> str:
    """The value of `ssm:NAME` or `secretsmanager:ID`.

    Raises:
        ConfigurationError: it can't be had; the message has no part of the value.
    """
    import boto3  # 200 ms of a cold start, so only where it is asked for
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    service, _, name = source.partition(":")
    config = Config(
        connect_timeout=_TIMEOUT_SECONDS,
        read_timeout=_TIMEOUT_SECONDS,
        retries={"total_max_attempts": _ATTEMPTS, "mode": "standard"},
    )
    try:
        if service == "ssm":
            client = boto3.client("ssm", config=config)
            value = client.get_parameter(Name=name, WithDecryption=True)["Parameter"]["Value"]
        else:
            client = boto3.client("secretsmanager", config=config)
            value = client.get_secret_value(SecretId=name).get("SecretString")
    except ClientError as exc:
        code = exc.response.get("Error", {}).get("Code", "unknown")
        raise ConfigurationError(
            f"The API keys can't be read from {source}: {code}. Check the name, and that the "
            "function's role may read it."
        ) from exc
    except BotoCoreError as exc:
        raise ConfigurationError(f"The API keys can't be read from {source}: {exc}.") from exc
    if not isinstance(value, str):
        raise ConfigurationError(f"{source} is not a text: store one key a line.")
    return value
