from __future__ import annotations

from itertools import starmap
from pathlib import Path

import pytest

from engine.backends import choose, open_backend, weights_of
from engine.config import BackendChoice, EngineConfig
from engine.errors import ConfigurationError
from engine.golden import minimum_cosine
from engine.model import (
    Agreement,
    BundleFile,
    FileRole,
    Manifest,
    ModelBundle,
    combined_sha256,
)
from engine.types import Pooling
from engine.verify import missing_runtime
from tests.engine.certificates import agreement, certificate

SOURCE = "5" * 64


def bundle_of(
    cosines: dict[tuple[str, str], float] | None = None, source: str | None = None, **files: str
) -> ModelBundle:
    """A bundle whose manifest lists these: `gguf="f32 q8_0"`.

    `cosines` are certified, by path and backend; the file at `source` is what it was made of.
    """
    entries = [
        BundleFile(
            role=FileRole(role),
            path=f"{role}-{precision}",
            sha256=SOURCE if f"{role}-{precision}" == source else "0" * 64,
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
        weights_sha256=SOURCE,
        certificate=None if cosines is None else certificate(*starmap(_row, cosines.items())),
    )
    return ModelBundle(Path("/nowhere"), manifest)


def _row(place: tuple[str, str], min_cosine: float) -> Agreement:
    """As an export writes it: with the tolerance of the file's precision."""
    path, backend = place
    tolerance = minimum_cosine("bf16" if backend == "openvino" else path.partition("-")[2])
    return agreement(
        path=path,
        backend=backend,
        min_cosine=min_cosine,
        tolerance=tolerance,
        passed=min_cosine >= tolerance,
    )


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


@pytest.mark.parametrize("precision", ["q4_k", "q8_0", "bf16"])
def test_auto_takes_the_file_that_is_the_source_itself(precision: str) -> None:
    """Nothing is closer to it, however its weights were rounded, and whether it was measured."""
    path = f"gguf-{precision}"
    assert ("gguf", path) == chosen(bundle_of(source=path, gguf=precision))
    measured = {(path, "gguf"): 0.9991, (f"onnx-{precision}", "onnx"): 0.9995}
    bundle = bundle_of(measured, path, gguf=precision, onnx=precision)
    assert ("gguf", path) == chosen(bundle)
    assert "no exact enough file" in choose(bundle, EngineConfig()).reason


def test_an_onnx_source_with_its_weights_beside_it_is_known_by_both_hashes() -> None:
    bundle = bundle_of({("onnx-int8", "onnx"): 0.9985}, onnx="int8", onnx_data="int8")
    with pytest.raises(ConfigurationError):
        chosen(bundle)
    both = combined_sha256(["0" * 64, "0" * 64])
    manifest = bundle.manifest.model_copy(update={"weights_sha256": both})
    assert ("onnx", "onnx-int8") == chosen(ModelBundle(bundle.directory, manifest))


@pytest.mark.parametrize(
    ("cosines", "expected"),
    [
        ({("onnx-int8", "onnx"): 0.9999}, ("onnx", "onnx-int8")),
        ({("onnx-int8", "onnx"): 0.99989, ("gguf-q8_0", "gguf"): 0.9999}, ("gguf", "gguf-q8_0")),
        ({("onnx-int8", "gguf"): 1.0, ("gguf-q8_0", "gguf"): 0.99991}, ("gguf", "gguf-q8_0")),
    ],
)
def test_auto_takes_a_rounded_file_that_is_certified_to_be_close(
    cosines: dict[tuple[str, str], float], expected: tuple[str, str]
) -> None:
    """To 0.9999, on the backend that would run it."""
    assert expected == chosen(bundle_of(cosines, onnx="int8", gguf="q8_0"))


@pytest.mark.parametrize("options", [{}, {"gpu": True}, {"engine": "onnx"}])
def test_auto_serves_nothing_that_is_not_certified_to_be_close(options: dict[str, object]) -> None:
    """It says what there is, how close it is, and how to get it."""
    rows = {("onnx-int8", "onnx"): 0.998634}
    bundle = bundle_of(rows, onnx="int8 q8_0")
    with pytest.raises(ConfigurationError) as refused:
        chosen(bundle, **options)
    assert refused.value.message == (
        "m has no file that the precision auto may serve: it must be certified to a cosine of "
        "0.9999 to the source. It has: q8_0 on onnx (not measured), int8 on onnx (0.998634). "
        "Ask for one by --precision, such as --precision q8_0."
    )
    for precision in ("q8_0", "int8"):
        assert ("onnx", f"onnx-{precision}") == chosen(bundle, precision=precision, **options)


def test_each_file_that_auto_names_can_be_asked_for() -> None:
    """On whichever runtime it is for."""
    bundle = bundle_of({}, onnx="int8", gguf="q8_0 q4_k")
    with pytest.raises(ConfigurationError, match=r"int8 on onnx .* q8_0 on gguf .* q4_k on gguf"):
        chosen(bundle)
    assert ("onnx", "onnx-int8") == chosen(bundle, precision="int8", gpu=True)
    assert ("gguf", "gguf-q4_k") == chosen(bundle, precision="q4_k")
    reason = choose(bundle, EngineConfig(precision="q8_0")).reason
    assert reason == "auto takes onnx on a CPU, but only gguf has a q8_0 file"


@pytest.mark.parametrize("precision", ["fp32", "f32", "f16"])
def test_auto_takes_float_weights_that_nobody_could_measure(precision: str) -> None:
    """Their runtime was missing where the bundle was made."""
    role = "onnx" if precision == "fp32" else "gguf"
    for cosines in (None, {}, {("other", role): 0.99999}):
        bundle = bundle_of(cosines, **{role: precision})
        assert (role, f"{role}-{precision}") == chosen(bundle)


def test_auto_takes_no_float_weights_that_were_measured_to_be_far() -> None:
    """Another runtime's are taken; where there is no other, loading says what is wrong."""
    rows = {("onnx-fp32", "onnx"): 0.99, ("gguf-f32", "gguf"): 0.99999}
    assert ("gguf", "gguf-f32") == chosen(bundle_of(rows, onnx="fp32", gguf="f32"))
    assert ("onnx", "onnx-fp32") == chosen(bundle_of(rows, onnx="fp32"))
    with pytest.raises(ConfigurationError, match=r"fp32 on onnx \(0\.990000\), int8 on onnx"):
        chosen(bundle_of(rows, onnx="fp32 int8"))


def test_what_the_bundle_lacks_is_refused() -> None:
    """The message says what there is."""
    with pytest.raises(ConfigurationError, match=r"'f16'.*fp32, q8_0"):
        chosen(BOTH, precision="f16")
    with pytest.raises(ConfigurationError, match=r"no onnx file\. It has: none.*--onnx fp32\."):
        chosen(bundle_of(gguf="f16"), engine=BackendChoice.ONNX)


@pytest.mark.parametrize(
    ("options", "cure"),
    [
        ({"precision": "int8"}, "Make one with: {export} --onnx int8."),
        ({"precision": "int8", "engine": "onnx"}, "Make one with: {export} --onnx int8."),
        ({"precision": "f16", "gpu": True}, "Make one with: {export} --gguf f16."),
        ({"precision": "q5", "gpu": True}, "{known}: auto, f32, q8_0, f16."),
        ({"precision": "int4"}, "{known}: auto, fp32, q8_0, int8."),
        ({"precision": ""}, "{known}: auto, fp32, q8_0, int8."),
        ({"precision": "INT8"}, "{known}: auto, fp32, q8_0, int8."),
    ],
)
def test_a_precision_that_is_lacking_is_made_or_is_none(
    options: dict[str, object], cure: str
) -> None:
    """The message has the command for what an export can make, else what can be asked for."""
    with pytest.raises(ConfigurationError) as refused:
        chosen(BOTH, **options)
    export, known = "embellama export SOURCE --output DIR", "What can be made and asked for"
    assert refused.value.message.endswith(f". {cure.format(export=export, known=known)}")


def certified(min_cosine: float) -> ModelBundle:
    """BOTH, with a certificate for its fp32 ONNX file on OpenVINO."""
    return bundle_of({("onnx-fp32", "openvino"): min_cosine}, gguf="q8_0 f32", onnx="q8_0 fp32")


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


@pytest.mark.parametrize("options", [{"engine": "openvino"}, {}])
def test_openvino_runs_the_fp32_file_in_bf16(options: dict[str, object]) -> None:
    """Asked for by the precision, whatever is certified."""
    assert ("openvino", "onnx-fp32") == chosen(BOTH, precision="bf16", **options)


def test_openvino_takes_bf16_for_auto_only_where_it_is_exact_enough() -> None:
    """The engine's name is no word about the precision."""
    assert ("openvino", "onnx-fp32") == chosen(certified(0.99995), engine="openvino")
    with pytest.raises(ConfigurationError, match=r"bf16 on openvino \(0\.999850\).*bf16\.$"):
        chosen(certified(0.99985), engine="openvino")
    with pytest.raises(ConfigurationError, match=r"bf16 on openvino \(not measured\)"):
        chosen(BOTH, engine="openvino")


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
    precision = "bf16" if engine == "openvino" else "auto"
    config = EngineConfig.model_validate({"engine": engine, "precision": precision})
    choice = choose(bundle, config)
    assert ["onnx-fp32", "onnx_data-fp32"] == [row.path for row in weights_of(bundle, choice)]


@pytest.mark.model
@pytest.mark.parametrize("backend", [each for each in BackendChoice if each.value != "auto"])
def test_every_backend_that_can_be_chosen_opens_as_itself(
    backend: BackendChoice, default_bundle: Path
) -> None:
    """It has its row in every table and its own branch; another's would take its place unseen."""
    reason = missing_runtime(backend.value)
    bundle = ModelBundle.open(default_bundle)
    precision = "bf16" if backend is BackendChoice.OPENVINO else "auto"
    config = EngineConfig(engine=backend, precision=precision)
    choice = choose(bundle, config)
    if reason is not None:
        pytest.skip(f"not checked: {reason}")
    try:
        opened = open_backend(bundle, config, choice, max_input_tokens=256)
    except ConfigurationError as exc:
        pytest.skip(f"not checked: {exc.message}")
    opened.close()
    assert opened.name == backend.value
