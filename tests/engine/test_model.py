from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

from engine.errors import IntegrityError, ManifestError
from engine.model import (
    MANIFEST_NAME,
    FileRole,
    Manifest,
    ModelBundle,
    fingerprint,
    sha256_of,
)
from engine.types import Pooling
from tests.engine.bundles import write_bundle, write_manifest
from tests.engine.certificates import agreement, certificate

PARTS: dict[str, Any] = {
    "weights_sha256": "a" * 64,
    "tokenizer_sha256": "b" * 64,
    "pooling": Pooling.MEAN,
    "normalize": True,
    "max_input_tokens": 256,
    "prompts": {"query": "query: ", "passage": "passage: "},
}


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write_bundle(tmp_path)


def edit(directory: Path, **changes: object) -> None:
    path = directory / MANIFEST_NAME
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def edit_file(directory: Path, **changes: object) -> None:
    files = json.loads((directory / MANIFEST_NAME).read_text())["files"]
    edit(directory, files=[files[0] | changes, *files[1:]])


# The manifest


def test_a_manifest_reads_back_as_written(bundle: Path) -> None:
    """Every field survives the file, the certificate and the prompts too."""
    manifest = ModelBundle.open(bundle).manifest.model_copy(
        update={
            "certificate": certificate(agreement()),
            "prompts": {"query": "é "},
            "matryoshka_dimensions": (2,),
        }
    )
    (bundle / MANIFEST_NAME).write_text(manifest.to_json(), encoding="utf-8")
    assert manifest == ModelBundle.open(bundle).manifest


def test_the_schema_is_written_under_its_short_name(bundle: Path) -> None:
    """The key is `schema`."""
    assert 1 == json.loads(ModelBundle.open(bundle).manifest.to_json())["schema"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("schema", 2),
        ("colour", "blue"),
        ("name", ""),
        ("pooling", "max"),
        ("max_input_tokens", 2),
        ("vocabulary_size", 0),
        ("dimensions", 0),
        ("dimensions", 10**9),
        ("max_input_tokens", 1 << 40),
        ("matryoshka_dimensions", [2, 5]),
        ("matryoshka_dimensions", [0]),
        ("matryoshka_dimensions", [-1]),
        ("prompts", {"query": 1}),
        ("files", None),
    ],
)
def test_an_invalid_field_is_named(bundle: Path, field: str, value: object) -> None:
    """A manifest with a wrong or an unknown field is refused; the message has its name."""
    edit(bundle, **{field: value})
    with pytest.raises(ManifestError, match=field):
        ModelBundle.open(bundle)


@pytest.mark.parametrize(
    "field", ["vocabulary_size", "dimensions", "max_input_tokens", "default_dimensions"]
)
@pytest.mark.parametrize("value", ["4", 4.0])
def test_a_number_is_written_as_such(bundle: Path, field: str, value: object) -> None:
    """Text, or a number with a fraction where they are counted, is none."""
    edit(bundle, **{field: value})
    with pytest.raises(ManifestError, match=field):
        ModelBundle.open(bundle)


def test_the_size_of_a_file_is_a_number(bundle: Path) -> None:
    size = json.loads((bundle / MANIFEST_NAME).read_text())["files"][0]["bytes"]
    edit_file(bundle, bytes=str(size))
    with pytest.raises(ManifestError, match="bytes"):
        ModelBundle.open(bundle)


@pytest.mark.parametrize("field", ["pooling", "dimensions", "fingerprint", "files"])
def test_a_missing_field_is_named(bundle: Path, field: str) -> None:
    """What decides the vectors has no default."""
    path = bundle / MANIFEST_NAME
    document = json.loads(path.read_text())
    del document[field]
    path.write_text(json.dumps(document))
    with pytest.raises(ManifestError, match=field):
        ModelBundle.open(bundle)


@pytest.mark.parametrize(
    "path",
    [
        "../tokenizer.json",
        "/etc/passwd",
        "..",
        ".",
        "",
        ".hidden",
        "a/b.json",
        "a\\b.json",
        "tokenizer.json\n",
        "tokenizer.json\x00",
        "c:x",
        "ü.json",
    ],
)
def test_a_path_out_of_the_directory_is_refused(bundle: Path, path: str) -> None:
    """A bundle names files of its own directory only."""
    edit_file(bundle, path=path)
    with pytest.raises(ManifestError, match="path"):
        ModelBundle.open(bundle)


@pytest.mark.parametrize("sha256", ["", "a" * 63, "A" * 64, "g" * 64, "a" * 65])
def test_a_hash_that_is_none_is_refused(bundle: Path, sha256: str) -> None:
    """A hash is 64 small hex digits."""
    edit_file(bundle, sha256=sha256)
    with pytest.raises(ManifestError, match="sha256"):
        ModelBundle.open(bundle)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"\xef\xbb\xbf{}"])
def test_a_file_that_is_no_manifest_is_refused(bundle: Path, content: bytes) -> None:
    """Whatever lies there instead is one clear error."""
    (bundle / MANIFEST_NAME).write_bytes(content)
    with pytest.raises(ManifestError):
        ModelBundle.open(bundle)


def test_a_directory_without_a_manifest_is_no_bundle(tmp_path: Path) -> None:
    """The message says how to make one."""
    with pytest.raises(ManifestError, match="embellama export"):
        ModelBundle.open(tmp_path)


def test_a_file_is_found_by_role_and_precision(bundle: Path) -> None:
    """The precision counts only if asked for."""
    manifest = ModelBundle.open(bundle).manifest
    found = [
        manifest.file(FileRole.ONNX),
        manifest.file(FileRole.ONNX, "fp32"),
        manifest.file(FileRole.ONNX, "q8_0"),
        manifest.file(FileRole.GGUF),
    ]
    assert ["model.onnx", "model.onnx", None, None] == [entry and entry.path for entry in found]


# Its files


def test_a_whole_bundle_verifies(bundle: Path) -> None:
    """Files with the hashes of the manifest pass."""
    ModelBundle.open(bundle).verify_hashes()


def test_a_missing_file_is_named(bundle: Path) -> None:
    """A listed file must be there."""
    (bundle / "model.onnx").unlink()
    with pytest.raises(IntegrityError, match=re.escape("model.onnx")):
        ModelBundle.open(bundle)


def test_a_short_file_is_named(bundle: Path) -> None:
    """A download that broke off is found without reading all of it."""
    path = bundle / "model.onnx"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(IntegrityError, match=re.escape("model.onnx")):
        ModelBundle.open(bundle)


def test_an_altered_file_is_named(bundle: Path) -> None:
    """A file of the right size with another byte is found by its hash."""
    path = bundle / "model.onnx"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    opened = ModelBundle.open(bundle)
    with pytest.raises(IntegrityError, match=re.escape("model.onnx")):
        opened.verify_hashes()


def test_only_the_given_files_are_verified(bundle: Path) -> None:
    """Starting with one file does not read all others."""
    opened = ModelBundle.open(bundle)
    (bundle / "model.onnx").write_bytes(b"altered")
    entry = opened.manifest.file(FileRole.TOKENIZER)
    assert entry is not None
    opened.verify_hashes([entry])


def test_a_file_that_vanished_is_named(bundle: Path) -> None:
    """A file that can't be read any more is a fault of the bundle, not a crash."""
    opened = ModelBundle.open(bundle)
    (bundle / "model.onnx").unlink()
    with pytest.raises(IntegrityError, match=re.escape("model.onnx")):
        opened.verify_hashes()


def test_the_hash_is_that_of_the_whole_file(tmp_path: Path) -> None:
    """Reading in pieces changes nothing, at any size around the pieces'."""
    path = tmp_path / "file"
    for size in (0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1):
        content = b"x" * size
        path.write_bytes(content)
        assert hashlib.sha256(content).hexdigest() == sha256_of(path)


# The fingerprint


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("weights_sha256", "c" * 64),
        ("tokenizer_sha256", "c" * 64),
        ("pooling", Pooling.CLS),
        ("normalize", False),
        ("max_input_tokens", 255),
        ("prompts", {}),
        ("prompts", PARTS["prompts"] | {"query": "query:"}),
        ("prompts", {"q": "query: ", "passage": "passage: "}),
    ],
)
def test_each_part_changes_the_fingerprint(part: str, value: object) -> None:
    """Another weight, token, pooling, limit or prompt is another space."""
    assert fingerprint(**PARTS) != fingerprint(**(PARTS | {part: value}))


def test_weights_and_tokenizer_are_not_interchangeable() -> None:
    """Each hash counts in its place."""
    swapped = PARTS | {"weights_sha256": "b" * 64, "tokenizer_sha256": "a" * 64}
    assert fingerprint(**PARTS) != fingerprint(**swapped)


def test_the_order_of_prompts_does_not_matter() -> None:
    """Prompts are known by name."""
    reversed_prompts = dict(reversed(list(PARTS["prompts"].items())))
    assert fingerprint(**PARTS) == fingerprint(**(PARTS | {"prompts": reversed_prompts}))


def test_the_fingerprint_never_changes_between_versions() -> None:
    """A space keeps its name: stored vectors depend on it. SHA-256 of the canonical JSON."""
    canonical = (
        '{"max_input_tokens":256,"normalize":true,"pooling":"mean",'
        '"prompts":{"passage":"passage: ","query":"query: "},'
        f'"tokenizer":"{"b" * 64}","weights":"{"a" * 64}"}}'
    )
    assert hashlib.sha256(canonical.encode()).hexdigest()[:32] == fingerprint(**PARTS)


@pytest.mark.parametrize(
    "change",
    [
        {"fingerprint": "0" * 32},
        {"normalize": False},
        {"max_input_tokens": 8},
        {"prompts": {"q": "q:"}},
    ],
)
def test_an_edited_manifest_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    """What decides a text's vector can't be changed under the old fingerprint."""
    manifest = write_bundle_with_source(tmp_path)
    ModelBundle.open(tmp_path)
    edited = manifest.model_copy(update=change)
    (tmp_path / MANIFEST_NAME).write_text(edited.to_json(), "utf-8")
    with pytest.raises(ManifestError, match="fingerprint"):
        ModelBundle.open(tmp_path)


def write_bundle_with_source(directory: Path) -> Manifest:
    """A bundle whose manifest has the hash of its source's weights."""
    manifest = ModelBundle.open(write_bundle(directory)).manifest
    tokenizer = manifest.file(FileRole.TOKENIZER)
    assert tokenizer is not None
    space = fingerprint(
        weights_sha256="5" * 64,
        tokenizer_sha256=tokenizer.sha256,
        pooling=manifest.pooling,
        normalize=manifest.normalize,
        max_input_tokens=manifest.max_input_tokens,
        prompts=manifest.prompts,
    )
    return write_manifest(directory, weights_sha256="5" * 64, fingerprint=space)


@pytest.mark.parametrize(
    ("prompts", "words"),
    [
        ({"q": "\ud800"}, "not a valid manifest"),
        ({"\ud800": "q"}, "not a valid manifest"),
        ({"q": "a" * 200_000}, "the prompt 'q' has 200000 characters, and at most"),
        ({"q" * 200_000: "a"}, "characters, and at most"),
    ],
)
def test_prompts_that_no_tokenizer_can_read_are_refused(
    bundle: Path, prompts: dict[str, str], words: str
) -> None:
    edit(bundle, prompts=prompts, max_input_tokens=8)
    with pytest.raises(ManifestError, match=words) as caught:
        ModelBundle.open(bundle)
    assert len(caught.value.message) < 500


def test_a_manifest_can_not_be_made_of_prompts_that_are_not_unicode(bundle: Path) -> None:
    manifest = ModelBundle.open(bundle).manifest.model_dump(by_alias=True)
    for prompts in ({"q": "\ud800"}, {"\ud800": "q"}):
        with pytest.raises(ValueError, match="prompts"):
            Manifest.model_validate(manifest | {"prompts": prompts})


def test_a_prompt_as_long_as_the_model_can_read_is_taken(bundle: Path) -> None:
    manifest = ModelBundle.open(bundle).manifest.model_dump(by_alias=True)
    longest = {"q": "a" * 64 * 8}
    changed = Manifest.model_validate(manifest | {"prompts": longest, "max_input_tokens": 8})
    assert changed.prompts == longest


@pytest.mark.parametrize("precision", ["fp32", None])
def test_two_files_of_one_role_and_precision_are_refused(
    bundle: Path, precision: str | None
) -> None:
    """Which one is served would depend on their order."""
    files = json.loads((bundle / MANIFEST_NAME).read_text())["files"]
    edit(bundle, files=[row | {"role": "onnx", "precision": precision} for row in files])
    with pytest.raises(ManifestError, match="files: two have the role onnx"):
        ModelBundle.open(bundle)
