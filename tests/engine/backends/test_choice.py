from __future__ import annotations

from pathlib import Path

import pytest

from engine.backends import choose, open_backend, weights_of
from engine.config import BackendChoice, EngineConfig
from engine.errors import ConfigurationError
from engine.model import (
    BundleFile,
    FileRole,
    Manifest,
    ModelBundle,
)
from engine.types import Pooling
from engine.verify import missing_runtime
from tests.engine.certificates import agreement, certificate, with_certificate


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


def certified(min_cosine: float) -> ModelBundle:
    """BOTH, with a certificate for its fp32 ONNX file on OpenVINO."""
    row = agreement(
        path="onnx-fp32",
        backend="openvino",
        min_cosine=min_cosine,
        tolerance=0.999,
        passed=min_cosine >= 0.999,
    )
    manifest = with_certificate(BOTH.manifest, certificate(row), *BOTH.manifest.files)
    return ModelBundle(BOTH.directory, manifest)


@pytest.mark.parametrize(
    ("min_cosine", "fast_bf16", "options", "expected"),
    [
        (0.99995, True, {}, "openvino"),
        (0.99985, True, {}, "onnx"),
        (0.99995, False, {}, "onnx"),
        (0.99995, True, {"precision": "fp32"}, "onnx"),
        (0.99995, True, {"engine": "onnx"}, "onnx"),
        (0.99995, True, {"gpu": True}, "gguf"),
    ],
)
def test_auto_takes_bf16_only_where_it_is_exact_enough_and_fast(
    min_cosine: float, fast_bf16: bool, options: dict[str, object], expected: str
) -> None:
    """Certified to 0.9999, installed, and the CPU has bf16; and nothing else was asked for."""
    config = EngineConfig.model_validate(options)
    choice = choose(certified(min_cosine), config, fast_bf16=fast_bf16)
    assert expected == choice.backend.value


def test_an_uncertified_file_is_never_taken_for_bf16_by_auto() -> None:
    assert BackendChoice.ONNX is choose(BOTH, EngineConfig(), fast_bf16=True).backend


@pytest.mark.parametrize("options", [{"engine": "openvino"}, {"precision": "bf16"}])
def test_openvino_runs_the_fp32_file_in_bf16(options: dict[str, object]) -> None:
    """Asked for by its name or by the precision."""
    assert ("openvino", "onnx-fp32") == chosen(BOTH, **options)


def test_a_bf16_gguf_file_is_still_a_file() -> None:
    """Where there is no ONNX file to compute in bf16."""
    assert ("gguf", "gguf-bf16") == chosen(bundle_of(gguf="bf16"), precision="bf16")


@pytest.mark.parametrize("options", [{"gpu": True}, {"precision": "q8_0"}])
def test_what_openvino_does_not_do_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError, match="OpenVINO"):
        chosen(BOTH, engine="openvino", **options)


def test_openvino_needs_an_fp32_onnx_file() -> None:
    with pytest.raises(ConfigurationError, match="no openvino file of the precision 'fp32'"):
        chosen(bundle_of(onnx="q8_0"), engine="openvino")


def test_auto_prefers_the_runtime_with_an_exact_file() -> None:
    """A rounded file is not taken because of its runtime."""
    assert ("gguf", "gguf-f32") == chosen(bundle_of(gguf="f32", onnx="q8_0"))
    assert ("onnx", "onnx-q8_0") == chosen(bundle_of(gguf="f32", onnx="q8_0"), precision="q8_0")


@pytest.mark.parametrize("engine", ["onnx", "openvino"])
def test_external_weights_are_among_the_files_that_a_runtime_loads(engine: str) -> None:
    """So their hashes are checked, and that they stay what they are is watched."""
    bundle = bundle_of(onnx="fp32", onnx_data="fp32")
    choice = choose(bundle, EngineConfig.model_validate({"engine": engine}))
    assert ["onnx-fp32", "onnx_data-fp32"] == [row.path for row in weights_of(bundle, choice)]


@pytest.mark.model
@pytest.mark.parametrize("backend", [each for each in BackendChoice if each.value != "auto"])
def test_every_backend_that_can_be_chosen_opens_as_itself(
    backend: BackendChoice, default_bundle: Path
) -> None:
    """It has its row in every table and its own branch; another's would take its place unseen."""
    reason = missing_runtime(backend.value)
    bundle = ModelBundle.open(default_bundle)
    config = EngineConfig(engine=backend)
    choice = choose(bundle, config)
    if reason is not None:
        pytest.skip(f"not checked: {reason}")
    try:
        opened = open_backend(bundle, config, choice, max_input_tokens=256)
    except ConfigurationError as exc:
        pytest.skip(f"not checked: {exc.message}")
    opened.close()
    assert opened.name == backend.value
