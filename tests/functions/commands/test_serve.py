from __future__ import annotations

import argparse
import sys

import pytest

from engine.config import BackendChoice
from engine.errors import ConfigurationError
from functions.commands import serve
from functions.model_options import ModelOptions
from functions.settings import Settings
from functions.settings_sources import load_settings
from functions.targets.loading import open_configured_engine


def test_it_takes_every_option() -> None:
    parser = argparse.ArgumentParser()
    serve.add_arguments(parser)
    args = parser.parse_args(["--context-size", "8", "--port", "0"])
    assert load_settings(args) == Settings(context_size=8, port=0)


@pytest.mark.parametrize(
    "arguments",
    [
        ["/bundle"],
        ["--model", "/bundle"],
        ["--model-path", "/bundle"],
        ["--model=/bundle"],
        ["--port", "0", "/bundle"],
        ["/bundle", "--model", "/bundle"],
    ],
    ids=" ".join,
)
def test_the_model_is_given_in_several_ways(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the command line; it is one option, so it stands above the environment's."""
    monkeypatch.setenv("EMBELLAMA_MODEL_PATH", "/another")
    parser = argparse.ArgumentParser()
    serve.add_arguments(parser)
    assert load_settings(parser.parse_args(arguments)).model_path == "/bundle"
    assert load_settings(parser.parse_args([])).model_path == "/another"


@pytest.mark.parametrize(
    ("engine", "module", "extra"),
    [("onnx", "onnxruntime", "cpu"), ("gguf", "llama_cpp", "gguf"), ("openvino",) * 3],
)
def test_an_engine_that_is_not_installed_is_told_before_a_model_is_looked_for(
    engine: str, module: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    options = ModelOptions(path="/nowhere", engine=BackendChoice(engine))
    with pytest.raises(ConfigurationError) as caught:
        open_configured_engine(options)
    assert caught.value.message.startswith(f"The engine {engine} needs the package ")
    assert f"the extra '{extra}'" in caught.value.message
    assert "--engine" in caught.value.message
