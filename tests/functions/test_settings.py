from __future__ import annotations

from engine import EngineConfig
from functions.body_limits import body_bytes_for
from functions.model_options import ModelOptions
from functions.settings import Settings


def test_every_option_of_the_engine_is_a_setting() -> None:
    assert set(EngineConfig.model_fields) <= set(Settings.model_fields)


def test_the_defaults_are_the_engines() -> None:
    assert Settings().engine_config() == EngineConfig()


def test_engine_config_carries_changed_values() -> None:
    assert Settings(threads=3).engine_config() == EngineConfig(threads=3)


def test_redacted_settings_are_plain_values() -> None:
    assert Settings(model_path="/m").redacted()["model_path"] == "/m"


def test_redacted_settings_hide_secrets() -> None:
    redacted = Settings.model_validate({"api_key": ["sesame"], "admin_key": "sesame"}).redacted()
    assert redacted["api_key"] == ["**********"]
    assert "sesame" not in str(redacted)


def test_a_password_in_a_url_is_masked() -> None:
    settings = Settings(otlp_endpoint="http://user:secret@collector:4318")
    assert settings.redacted()["otlp_endpoint"] == "http://***@collector:4318"


def test_the_body_limit_follows_from_the_tokens_of_a_request() -> None:
    assert Settings().max_body_bytes == body_bytes_for(300_000) == 14 * 1024 * 1024
    assert Settings(max_request_tokens=900_000).max_body_bytes == body_bytes_for(900_000)
    assert Settings(max_request_tokens=900_000, max_body_bytes=2000).max_body_bytes == 2000
    assert Settings().redacted()["max_body_bytes"] == body_bytes_for(300_000)


def test_the_body_limit_is_that_of_the_model_that_takes_most_tokens() -> None:
    large, plain = ModelOptions(path="a", max_request_tokens=900_000), ModelOptions(path="b")
    small = ModelOptions(path="c", max_request_tokens=1000)
    assert Settings(models=(small, large)).max_body_bytes == body_bytes_for(900_000)
    assert Settings(models=(small, plain)).max_body_bytes == body_bytes_for(300_000)
    assert Settings(models=(small,)).max_body_bytes == body_bytes_for(1000)
