from __future__ import annotations

from pathlib import Path

import pytest

from engine.backends import choose
from engine.config import BackendChoice, EngineConfig
from engine.errors import ConfigurationError
from engine.model import BundleFile, FileRole, Manifest, ModelBundle
from engine.types import Pooling


def bundle_of(**files: str) -> ModelBundle:
    """A bundle whose manifest lists these: `gguf="f32 q8_0"`."""
    entries = [
        BundleFile(
            role=FileRole(role),
            path=f"{role}-{precision}",
            sha256="0" * 64,
            bytes=1,
            precision=precision,
        )
        for role, precisions in files.items()
        for precision in precisions.split()
    ]
    manifest = Manifest(
        schema=1,
        name="m",
        architecture="bert",
        pooling=Pooling.MEAN,
        normalize=True,
        max_input_tokens=8,
        vocabulary_size=9,
        dimensions=4,
        files=tuple(entries),
        fingerprint="f" * 32,
    )
    return ModelBundle(Path("/nowhere"), manifest)


def chosen(bundle: ModelBundle, **options: object) -> tuple[str, str]:
    choice = choose(bundle, EngineConfig.model_validate(options))
    return choice.backend.value, choice.file.path


BOTH = bundle_of(gguf="q8_0 f32", onnx="q8_0 fp32")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ("onnx", "onnx-fp32")),
        ({"gpu": True}, ("gguf", "gguf-f32")),
        ({"engine": "gguf"}, ("gguf", "gguf-f32")),
        ({"engine": "onnx", "gpu": True}, ("onnx", "onnx-fp32")),
        ({"precision": "q8_0"}, ("onnx", "onnx-q8_0")),
        ({"engine": "gguf", "precision": "q8_0"}, ("gguf", "gguf-q8_0")),
    ],
)
def test_the_options_decide(options: dict[str, object], expected: tuple[str, str]) -> None:
    """auto takes onnx on a CPU and gguf on a GPU, and of its files the most exact one."""
    assert expected == chosen(BOTH, **options)


def test_auto_takes_what_there_is() -> None:
    """A bundle with files for one runtime only is served by that one, and the reason says so."""
    assert ("gguf", "gguf-f16") == chosen(bundle_of(gguf="f16"))
    assert ("onnx", "onnx-fp32") == chosen(bundle_of(onnx="fp32"), gpu=True)
    assert "no onnx file" in choose(bundle_of(gguf="f16"), EngineConfig()).reason


def test_auto_takes_a_precision_that_it_does_not_rank() -> None:
    """A bundle that has nothing else is still served."""
    assert ("gguf", "gguf-q4_k") == chosen(bundle_of(gguf="q4_k"))


def test_what_the_bundle_lacks_is_refused() -> None:
    """The message says what there is."""
    with pytest.raises(ConfigurationError, match=r"'f16'.*fp32, q8_0"):
        chosen(BOTH, precision="f16")
    with pytest.raises(ConfigurationError, match="none"):
        chosen(bundle_of(gguf="f16"), engine=BackendChoice.ONNX)
