"""Every kind of source, every option, every way to fail: one clear error, nothing left."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import gguf
import numpy as np
import pytest
import safetensors.numpy

from engine.cpu import has_exact_int8
from engine.errors import BundleError, EmbellamaError, ExportError, UnsupportedArchitectureError
from engine.export.exporter import export
from engine.export.gguf_file import GgufFile
from engine.export.options import ExportOptions
from engine.golden import GoldenSet, closeness
from engine.model import FileRole, ModelBundle
from engine.types import Pooling
from tests.engine.export.conftest import SMALL_BERT

SMALL = ExportOptions(name="small")
ALL_FILES = replace(SMALL, gguf=("f16", "q8_0", "f32"), onnx=("int8", "q8_0", "fp32"))


def _export(source: Path, output: Path, options: ExportOptions = SMALL) -> ModelBundle:
    return export(source, output, options, print)


def _path(bundle: ModelBundle, role: FileRole, precision: str | None = None) -> Path:
    entry = bundle.manifest.file(role, precision)
    assert entry is not None
    return bundle.path(entry)


def _golden(bundle: ModelBundle) -> GoldenSet:
    return GoldenSet.load(_path(bundle, FileRole.GOLDEN))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> ModelBundle:
    """The small BERT with every file."""
    return _export(SMALL_BERT, tmp_path_factory.mktemp("all") / "bundle", ALL_FILES)


@pytest.fixture(scope="module")
def of_q8_0(bundle: ModelBundle, tmp_path_factory: pytest.TempPathFactory) -> ModelBundle:
    """What becomes of the small BERT's Q8_0 file alone."""
    options = replace(SMALL, onnx=("fp32", "q8_0"))
    output = tmp_path_factory.mktemp("q8_0") / "bundle"
    return _export(_path(bundle, FileRole.GGUF, "q8_0"), output, options)


def test_a_checkpoint_gives_all_files_the_most_exact_ones_first(bundle: ModelBundle) -> None:
    bundle.verify_hashes()
    files = [(row.path, row.role, row.precision) for row in bundle.manifest.files]
    assert files == [
        ("tokenizer.json", FileRole.TOKENIZER, None),
        ("model.gguf", FileRole.GGUF, "f32"),
        ("model.f16.gguf", FileRole.GGUF, "f16"),
        ("model.q8_0.gguf", FileRole.GGUF, "q8_0"),
        ("model.onnx", FileRole.ONNX, "fp32"),
        ("model.onnx_data", FileRole.ONNX_DATA, "fp32"),
        ("model.q8_0.onnx", FileRole.ONNX, "q8_0"),
        ("model.q8_0.onnx_data", FileRole.ONNX_DATA, "q8_0"),
        ("model.int8.onnx", FileRole.ONNX, "int8"),
        ("model.int8.onnx_data", FileRole.ONNX_DATA, "int8"),
        ("golden.json", FileRole.GOLDEN, None),
    ]


def test_which_files_there_are_does_not_change_the_space(
    bundle: ModelBundle, tmp_path: Path
) -> None:
    only_gguf = _export(SMALL_BERT, tmp_path / "x", replace(SMALL, gguf=("f16",), onnx=()))
    assert [row.role for row in only_gguf.manifest.files] == [
        FileRole.TOKENIZER,
        FileRole.GGUF,
        FileRole.GOLDEN,
    ]
    assert only_gguf.manifest.fingerprint == bundle.manifest.fingerprint


def _runs_here(path: str) -> bool:
    """Whether this machine can compute what is in a file of weights, and so measure it."""
    if path.endswith(".gguf"):
        return importlib.util.find_spec("llama_cpp") is not None
    return path.endswith(".onnx") and ("int8" not in path or has_exact_int8())


@pytest.mark.cpu
@pytest.mark.heavy
def test_every_file_that_runs_here_is_certified(bundle: ModelBundle) -> None:
    """The others are written all the same: another machine may run them."""
    assert bundle.manifest.certificate is not None
    rows = bundle.manifest.certificate.files
    expected = [row.path for row in bundle.manifest.files if _runs_here(row.path)]
    assert [row.path for row in rows] == expected
    assert all(row.backend == Path(row.path).suffix[1:] for row in rows)
    assert all(row.passed for row in rows)


def test_options_replace_what_the_source_says(tmp_path: Path) -> None:
    options = ExportOptions(
        pooling=Pooling.MEAN,
        normalize=False,
        max_input_tokens=100,
        prompts={"q": "query: "},
        default_prompt_name="q",
        matryoshka_dimensions=(16, 32),
        gguf=(),
    )
    manifest = _export(SMALL_BERT, tmp_path / "x", options).manifest
    assert (manifest.name, manifest.pooling, manifest.normalize) == ("bert", Pooling.MEAN, False)
    assert (manifest.max_input_tokens, manifest.prompts) == (100, {"q": "query: "})
    assert (manifest.default_prompt_name, manifest.matryoshka_dimensions) == ("q", (32, 16))


def test_a_gguf_file_keeps_its_bytes_and_is_its_own_space(
    bundle: ModelBundle, of_q8_0: ModelBundle
) -> None:
    source = _path(bundle, FileRole.GGUF, "q8_0")
    copy = _path(of_q8_0, FileRole.GGUF)
    assert (copy.name, copy.read_bytes()) == ("model.gguf", source.read_bytes())
    assert of_q8_0.manifest.fingerprint != bundle.manifest.fingerprint


def test_a_gguf_file_says_what_the_checkpoint_said(
    bundle: ModelBundle, of_q8_0: ModelBundle
) -> None:
    for key in ("name", "architecture", "pooling", "normalize", "vocabulary_size", "dimensions"):
        assert getattr(of_q8_0.manifest, key) == getattr(bundle.manifest, key)
    ids = [text.input_ids.tolist() for text in _golden(bundle).texts]
    assert [text.input_ids.tolist() for text in _golden(of_q8_0).texts] == ids


def test_the_reference_of_a_gguf_file_is_its_own_weights(of_q8_0: ModelBundle) -> None:
    certificate = of_q8_0.manifest.certificate
    assert certificate is not None
    assert certificate.reference == (
        "numpy, float32, from the source's q8_0 weights, against the quantised file itself"
    )
    exact = next(row for row in certificate.files if row.path == "model.onnx")
    assert exact.min_cosine >= 0.999999


def test_q8_0_blocks_do_not_depend_on_whether_the_gguf_file_is_kept(
    bundle: ModelBundle, tmp_path: Path
) -> None:
    alone = _export(SMALL_BERT, tmp_path / "x", replace(SMALL, gguf=(), onnx=("q8_0",)))
    expected = _path(bundle, FileRole.ONNX_DATA, "q8_0").read_bytes()
    assert _path(alone, FileRole.ONNX_DATA).read_bytes() == expected


@pytest.mark.parametrize("kind", ["Q4_0", "Q5_0", "BF16"])
def test_other_types_are_dequantised_exactly(
    bundle: ModelBundle, tmp_path: Path, kind: str
) -> None:
    source = GgufFile(_path(bundle, FileRole.GGUF, "f32"))
    path = tmp_path / "other.gguf"
    _requantise(source, path, gguf.GGMLQuantizationType[kind])
    made = _export(path, tmp_path / "x")
    assert [row.precision for row in made.manifest.files if row.role is FileRole.GGUF] == [
        kind.lower()
    ]
    assert made.manifest.certificate is not None
    exact = next(row for row in made.manifest.certificate.files if row.backend == "onnx")
    assert exact.min_cosine >= 0.999999
    assert closeness(_golden(bundle).vectors, _golden(made).vectors).mean_cosine >= 0.9


def _requantise(source: GgufFile, path: Path, kind: gguf.GGMLQuantizationType) -> None:
    writer = gguf.GGUFWriter(path, source.architecture)
    for row in source.metadata():
        if row.key != "general.architecture":
            writer.add_key_value(row.key, row.value, row.type, row.item_type)
    for name in source.names:
        values = source.tensor(name)
        if values.ndim == 2 and name.startswith("blk."):
            writer.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)
        else:
            writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def test_a_bundle_is_exported_again_with_other_files_in_the_same_space(
    bundle: ModelBundle, tmp_path: Path
) -> None:
    again = _export(bundle.directory, tmp_path / "x", ExportOptions(gguf=("q8_0",), onnx=()))
    assert again.manifest.fingerprint == bundle.manifest.fingerprint
    assert again.manifest.name == "small"
    expected = _path(bundle, FileRole.GGUF, "q8_0").read_bytes()
    assert _path(again, FileRole.GGUF).read_bytes() == expected
    assert _path(again, FileRole.GOLDEN).read_bytes() == (
        _path(bundle, FileRole.GOLDEN).read_bytes()
    )


def test_a_bundle_is_never_exported_into_another_space(bundle: ModelBundle, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="pooling would change its vector space"):
        _export(bundle.directory, tmp_path / "x", ExportOptions(pooling=Pooling.MEAN))


def _onnx_directory(bundle: ModelBundle, directory: Path) -> Path:
    """As optimum writes it."""
    (directory / "onnx").mkdir(parents=True)
    for role in (FileRole.ONNX, FileRole.ONNX_DATA):
        shutil.copy(_path(bundle, role, "fp32"), directory / "onnx")
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(SMALL_BERT / name, directory)
    return directory


def test_an_onnx_directory_is_its_own_reference(bundle: ModelBundle, tmp_path: Path) -> None:
    source = _onnx_directory(bundle, tmp_path / "source")
    options = replace(SMALL, pooling=Pooling.CLS, normalize=True)
    made = _export(source, tmp_path / "x", options)
    golden = _golden(made)
    assert golden.reference.startswith("onnxruntime ")
    assert golden.reference.endswith("model.onnx")
    assert closeness(_golden(bundle).vectors, golden.vectors).min_cosine >= 0.99999
    assert made.manifest.file(FileRole.GGUF) is None
    assert made.manifest.file(FileRole.ONNX, "fp32") is not None
    again = _export(made.directory, tmp_path / "again", ExportOptions())
    assert again.manifest.files == made.manifest.files


def test_no_gguf_file_is_made_of_an_onnx_directory(bundle: ModelBundle, tmp_path: Path) -> None:
    source = _onnx_directory(bundle, tmp_path / "source")
    options = ExportOptions(pooling=Pooling.CLS, gguf=("f32",))
    with pytest.raises(ExportError, match="ONNX files only"):
        _export(source, tmp_path / "x", options)


def test_the_same_bundle_may_be_made_again_in_its_place(tmp_path: Path) -> None:
    first = _export(SMALL_BERT, tmp_path / "x")
    second = _export(SMALL_BERT, tmp_path / "x")
    assert second.manifest.files == first.manifest.files
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_another_bundle_is_replaced_only_by_force(tmp_path: Path) -> None:
    first = _export(SMALL_BERT, tmp_path / "x")
    other = replace(SMALL, pooling=Pooling.MEAN)
    with pytest.raises(ExportError, match=r"another bundle already.*--force"):
        _export(SMALL_BERT, tmp_path / "x", other)
    assert ModelBundle.open(tmp_path / "x").manifest == first.manifest
    forced = _export(SMALL_BERT, tmp_path / "x", replace(other, force=True))
    assert forced.manifest.pooling is Pooling.MEAN
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


@pytest.mark.parametrize("force", [False, True])
def test_what_is_not_a_bundle_is_never_replaced(tmp_path: Path, force: bool) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "thesis.tex").write_text("years of work")
    with pytest.raises(ExportError, match="is not a bundle"):
        _export(SMALL_BERT, tmp_path / "x", replace(SMALL, force=force))
    assert (tmp_path / "x" / "thesis.tex").read_text() == "years of work"


class TestBadSources:
    """Each is one error on one line, and nothing is left."""

    @pytest.fixture
    def fails(self, tmp_path: Path) -> object:
        def fails(source: Path, match: str, options: ExportOptions = SMALL) -> EmbellamaError:
            output = tmp_path / "deep" / "er" / "bundle"
            before = sorted(tmp_path.rglob("*"))
            with pytest.raises(BundleError, match=match) as caught:
                _export(source, output, options)
            assert sorted(tmp_path.rglob("*")) == before
            return caught.value

        return fails

    @pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 0.99])
    def test_a_truncated_gguf(
        self, bundle: ModelBundle, tmp_path: Path, fails: _Fails, share: float
    ) -> None:
        whole = _path(bundle, FileRole.GGUF, "f32").read_bytes()
        path = tmp_path / "cut.gguf"
        path.write_bytes(whole[: int(len(whole) * share)])
        fails(path, r"cut\.gguf is cut off: its header promises at least \d+ bytes, it has \d+\.")

    def test_a_bundle_with_an_altered_file(
        self, bundle: ModelBundle, tmp_path: Path, fails: _Fails
    ) -> None:
        copy = tmp_path / "copy"
        shutil.copytree(bundle.directory, copy)
        data = bytearray((copy / "model.gguf").read_bytes())
        data[-1] ^= 1
        (copy / "model.gguf").write_bytes(data)
        fails(copy, r"model\.gguf has the SHA-256")

    def test_a_missing_tensor(self, bert_directory: Path, fails: _Fails) -> None:
        path = bert_directory / "model.safetensors"
        tensors = safetensors.numpy.load_file(path)
        name = next(name for name in tensors if name.endswith("layer.1.output.dense.bias"))
        del tensors[name]
        safetensors.numpy.save_file(tensors, path)
        fails(bert_directory, f"has no tensor '{name}'")

    def test_a_missing_tensor_in_gguf(
        self, bundle: ModelBundle, tmp_path: Path, fails: _Fails
    ) -> None:
        source = _Without(_path(bundle, FileRole.GGUF, "f32"), "blk.1.ffn_up.weight")
        _requantise(source, tmp_path / "less.gguf", gguf.GGMLQuantizationType.F32)
        fails(tmp_path / "less.gguf", r"no tensor 'blk\.1\.ffn_up\.weight'")

    def test_an_unknown_architecture(self, bert_directory: Path, fails: _Fails) -> None:
        path = bert_directory / "config.json"
        path.write_text(json.dumps(json.loads(path.read_bytes()) | {"model_type": "mamba"}))
        error = fails(bert_directory, "'mamba'.*Supported: bert.*optimum")
        assert isinstance(error, UnsupportedArchitectureError)

    @pytest.mark.parametrize("architecture", ["clip", "nobody-knows", "t5encoder"])
    def test_a_model_of_which_it_is_not_known_to_generate_text(
        self, architecture: str, tmp_path: Path, fails: _Fails
    ) -> None:
        self._write_without_pooling(tmp_path / "other.gguf", architecture)
        error = fails(tmp_path / "other.gguf", f"'{architecture}'.*states no pooling")
        assert "generates text" not in str(error)

    def test_a_chat_model(self, tmp_path: Path, fails: _Fails) -> None:
        self._write_without_pooling(tmp_path / "chat.gguf", "llama")
        fails(tmp_path / "chat.gguf", "'llama'.*generates text; take an embedding model")

    @staticmethod
    def _write_without_pooling(path: Path, architecture: str) -> None:
        writer = gguf.GGUFWriter(path, architecture)
        writer.add_context_length(64)
        writer.add_tensor("token_embd.weight", np.zeros((8, 32), np.float32))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()

    def test_nothing_at_the_path(self, tmp_path: Path, fails: _Fails) -> None:
        fails(tmp_path / "none", "There is nothing at")

    def test_a_directory_that_is_nothing(self, tmp_path: Path, fails: _Fails) -> None:
        (tmp_path / "empty").mkdir()
        fails(tmp_path / "empty", "is nothing that can be exported. It must be a bundle")

    def test_a_file_that_is_nothing(self, tmp_path: Path, fails: _Fails) -> None:
        (tmp_path / "model.bin").write_bytes(b"PK")
        fails(tmp_path / "model.bin", "is nothing that can be exported")

    def test_several_gguf_files(self, tmp_path: Path, fails: _Fails) -> None:
        for name in ("a.gguf", "b.gguf"):
            (tmp_path / name).write_bytes(b"GGUF")
        fails(tmp_path, r"several GGUF files: a\.gguf, b\.gguf")

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may read all: it was not checked")
    def test_a_path_that_can_not_be_read(self, bert_directory: Path, fails: _Fails) -> None:
        (bert_directory / "config.json").chmod(0)
        fails(bert_directory, r"config\.json can't be read")

    def test_a_damaged_onnx_file(self, tmp_path: Path, fails: _Fails) -> None:
        for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
            shutil.copy(SMALL_BERT / name, tmp_path)
        (tmp_path / "model.onnx").write_bytes(b"\xff" * 100)
        fails(tmp_path, "is not an ONNX file", ExportOptions(pooling=Pooling.CLS))

    def test_an_unknown_precision(self, fails: _Fails) -> None:
        fails(SMALL_BERT, "'q2_k' can be made.*f32, f16, q8_0", replace(SMALL, gguf=("q2_k",)))

    def test_no_file_at_all(self, fails: _Fails) -> None:
        fails(SMALL_BERT, "there is no bundle", replace(SMALL, gguf=(), onnx=()))

    def test_more_tokens_than_positions(self, fails: _Fails) -> None:
        fails(SMALL_BERT, "positions for 256 tokens", replace(SMALL, max_input_tokens=257))

    def test_a_default_prompt_that_is_not_there(self, fails: _Fails) -> None:
        fails(SMALL_BERT, "default prompt 'q'", replace(SMALL, default_prompt_name="q"))


def test_an_output_that_can_not_be_written_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ExportError, match="can't be"):
        _export(SMALL_BERT, tmp_path / "file" / "bundle")


class _Fails(Protocol):
    """Type of the fixture `fails`."""

    def __call__(
        self, source: Path, match: str, options: ExportOptions = SMALL
    ) -> EmbellamaError: ...


class _Without(GgufFile):
    def __init__(self, path: Path, name: str) -> None:
        super().__init__(path)
        del self._header.tensors[name]


# Prompts that can't be, and bundles that can't be opened


@pytest.mark.parametrize("prompts", [{"\ud800": "a"}, {"q": "\ud800"}])
def test_a_checkpoint_with_a_prompt_that_is_not_unicode_leaves_nothing(
    bert_directory: Path, tmp_path: Path, prompts: dict[str, str]
) -> None:
    path = bert_directory / "config_sentence_transformers.json"
    path.write_text(json.dumps({"prompts": prompts}))
    output = tmp_path / "output"
    with pytest.raises(ExportError, match=rf"{path.name} has the prompt .* not valid Unicode"):
        _export(bert_directory, output)
    assert not output.exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (ExportOptions(prompts={"q": os.fsdecode(b"\xff")}), "prompt 'q' is not valid Unicode"),
        (ExportOptions(prompts={os.fsdecode(b"\xff"): "q"}), "is not valid Unicode"),
        (ExportOptions(name=os.fsdecode(b"\xff")), "name .* is not valid Unicode"),
        (ExportOptions(prompts={"q": "a" * 12_000_000}), "'q' has 12000000 characters, and at"),
    ],
)
def test_an_option_that_no_manifest_can_hold_is_refused(
    tmp_path: Path, options: ExportOptions, words: str
) -> None:
    with pytest.raises(ExportError, match=words) as caught:
        _export(SMALL_BERT, tmp_path / "output", options)
    caught.value.message.encode()
    assert not (tmp_path / "output").exists()


def test_a_bundle_that_cannot_be_opened_never_comes_to_its_place(tmp_path: Path) -> None:
    """A file is emptied after its size was noted, as a failing disk may do."""

    def progress(line: str) -> None:
        if "comparing" in line:
            for path in tmp_path.glob(".output.building-*/golden.json"):
                path.write_text("")

    with pytest.raises(ExportError, match=r"can't be opened: .*golden\.json has 0 bytes"):
        export(SMALL_BERT, tmp_path / "output", replace(SMALL, onnx=("fp32",), gguf=()), progress)
    assert list(tmp_path.iterdir()) == []
