from __future__ import annotations

import re
import struct
from pathlib import Path

import gguf
import pytest

from engine.errors import IntegrityError
from engine.gguf_header import GgufHeader
from engine.gguf_types import FILE_TYPES, TENSOR_TYPES, precision_of
from tests.engine.gguf_bytes import (
    ARRAY,
    BOOL,
    F32,
    FLOAT32,
    INT32,
    Q6_K,
    Q8_0,
    STRING,
    UINT8,
    UINT32,
    Key,
    Stated,
    array,
    gguf_bytes,
    scalar,
    string,
    text,
)

KEYS = (
    string("general.architecture", "bert"),
    scalar("bert.block_count", UINT32, 3),
    scalar("bert.epsilon", FLOAT32, 0.5),
    scalar("bert.causal", BOOL, 0),
    array("tokens", STRING, [text("a"), text("b\u00e9")]),
    array("types", INT32, [struct.pack("<i", value) for value in (1, -2)]),
    array("map", UINT8, []),
)
TENSORS = (Stated("token_embd.weight", (4, 3)), Stated("norm", (5,)), Stated("q", (32, 2), Q8_0))
GOOD = gguf_bytes(KEYS, TENSORS)


def read(directory: Path, data: bytes) -> GgufHeader:
    path = directory / "model.gguf"
    path.write_bytes(data)
    return GgufHeader.read(path)


def test_a_header_is_read_as_it_was_written(tmp_path: Path) -> None:
    header = read(tmp_path, GOOD)
    assert {key: row.value for key, row in header.metadata.items()} == {
        "general.architecture": "bert",
        "bert.block_count": 3,
        "bert.epsilon": 0.5,
        "bert.causal": False,
        "tokens": ["a", "b\u00e9"],
        "types": [1, -2],
        "map": [],
    }
    assert (header.metadata["tokens"].type, header.metadata["tokens"].item_type) == (ARRAY, STRING)
    start = len(GOOD) - (64 + 32 + 68)
    assert [(row.shape, row.type, row.offset, row.bytes) for row in header.tensors.values()] == [
        ((3, 4), F32, start, 48),
        ((5,), F32, start + 64, 20),
        ((2, 32), Q8_0, start + 96, 68),
    ]


def test_it_agrees_with_the_gguf_package(tmp_path: Path) -> None:
    header = read(tmp_path, GOOD)
    reader = gguf.GGUFReader(tmp_path / "model.gguf")
    assert {key: row.contents() for key, row in reader.fields.items() if "GGUF." not in key} == {
        key: row.value if row.value != [] else None for key, row in header.metadata.items()
    } | {"map": reader.fields["map"].contents()}
    assert [(row.name, row.data_offset, row.n_bytes) for row in reader.tensors] == [
        (row.name, row.offset, row.bytes) for row in header.tensors.values()
    ]


def test_types_of_tensors_are_those_of_the_gguf_package() -> None:
    theirs = {int(kind): (kind.name, *sizes) for kind, sizes in gguf.GGML_QUANT_SIZES.items()}
    assert theirs == TENSOR_TYPES


def test_types_of_files_are_those_of_the_gguf_package() -> None:
    names = {
        int(kind): re.sub("^(MOSTLY|ALL)_|_MOE$", "", kind.name).lower()
        for kind in gguf.LlamaFileType
        if kind is not gguf.LlamaFileType.GUESSED
    }
    assert names == FILE_TYPES


def test_a_file_cut_anywhere_says_so(tmp_path: Path) -> None:
    for length in range(1, len(GOOD)):
        wanted = rf"cut off: its header promises at least \d+ bytes, it has {length}\."
        with pytest.raises(IntegrityError, match="is not a GGUF file" if length < 4 else wanted):
            read(tmp_path, GOOD[:length])


BAD_KEYS: dict[str, tuple[Key, str]] = {
    "an unknown type": (Key("k", 13, b""), "'k' has the type 13"),
    "an array of arrays": (array("k", ARRAY, [b""]), "'k' is an array of the type 9"),
    "a text that is not UTF-8": (string("k", b"a\xec"), "'k' has a text that is not UTF-8"),
    "a name that is not UTF-8": (Key(b"\xff", UINT32, b"1234"), "not UTF-8"),
    "an item that is not UTF-8": (array("k", STRING, [text(b"\xff")]), "not UTF-8"),
    "a list of endless length": (array("k", UINT8, [], count=1 << 63), "states 9223372036854775"),
    "a text of endless length": (
        Key("k", STRING, struct.pack("<Q", 1 << 60)),
        "a length of 1152921504606846976 bytes",
    ),
    "a key twice": (string("general.architecture", "x"), "'general.architecture' twice"),
    "an alignment of 0": (scalar("general.alignment", UINT32, 0), "must be a power of two"),
    "an alignment of 3": (scalar("general.alignment", UINT32, 3), "must be a power of two"),
    "an alignment as text": (string("general.alignment", "32"), "must be a power of two"),
}


@pytest.mark.parametrize("name", BAD_KEYS)
def test_a_key_that_can_not_be_is_named(tmp_path: Path, name: str) -> None:
    key, message = BAD_KEYS[name]
    with pytest.raises(IntegrityError, match=re.escape(message)):
        read(tmp_path, gguf_bytes((*KEYS, key), TENSORS))


BAD_TENSORS: dict[str, tuple[Stated, str]] = {
    "no dimensions": (Stated("t", ()), "'t' has 0 dimensions"),
    "five dimensions": (Stated("t", (1,) * 5), "'t' has 5 dimensions"),
    "a dimension of 0": (Stated("t", (72_057_594_021_150_784, 0)), "72057594021150784 x 0"),
    "a product beyond 64 bits": (Stated("t", (1 << 40, 1 << 40)), "'t' has the shape"),
    "an unknown type": (Stated("t", (2,), 4), "'t' has the type 4"),
    "part of a block": (Stated("t", (48, 2), Q8_0), "48 x 2, which Q8_0 can't have"),
    "a place within another": (Stated("t", (2,), offset=32), "'t' is at byte 32 of the weights"),
    "a name twice": (Stated("norm"), "'norm' twice"),
    "a long name": (Stated("n" * 64), "has 64 bytes; at most 63"),
}


@pytest.mark.parametrize("name", BAD_TENSORS)
def test_a_tensor_that_can_not_be_is_named(tmp_path: Path, name: str) -> None:
    tensor, message = BAD_TENSORS[name]
    with pytest.raises(IntegrityError, match=re.escape(message)):
        read(tmp_path, gguf_bytes(KEYS, (*TENSORS, tensor)))


@pytest.mark.parametrize("counts", [{"key_count": 1 << 50}, {"tensor_count": 1 << 62}])
def test_a_count_that_no_file_holds_is_not_begun(tmp_path: Path, counts: dict[str, int]) -> None:
    with pytest.raises(IntegrityError, match="damaged GGUF file: it states"):
        read(tmp_path, gguf_bytes(KEYS, TENSORS, **counts))  # type: ignore[arg-type] # see the table


@pytest.mark.parametrize("version", [0, 1, 4, 3 << 24])
def test_other_versions_and_the_other_byte_order_are_refused(tmp_path: Path, version: int) -> None:
    with pytest.raises(IntegrityError, match=f"states version {version}"):
        read(tmp_path, gguf_bytes(KEYS, TENSORS, version=version))


def test_version_2_is_read(tmp_path: Path) -> None:
    assert len(read(tmp_path, gguf_bytes(KEYS, TENSORS, version=2)).tensors) == 3


def test_what_is_no_file_is_one_error(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(IntegrityError, match="can't be read"):
            GgufHeader.read(path)
    with pytest.raises(IntegrityError, match="it is empty"):
        read(tmp_path, b"")


PRECISIONS = [
    (None, [F32], "f32"),
    (0, [F32], "f32"),
    (None, [Q8_0, F32], "q8_0"),
    (18, [Q8_0, Q8_0, Q6_K], "q6_k"),
    (18 + 1024, [Q8_0], "q6_k"),
    (15, [Q6_K], "q4_k_m"),
    (7, [Q6_K], "q6_k"),
    (7, [Q6_K, Q6_K, Q8_0], "q6_k"),
    (0, [Q8_0], "q8_0"),
    (7, [F32], "f32"),
    (99, [Q8_0], "q8_0"),
    (-1, [Q8_0], "q8_0"),
]


@pytest.mark.parametrize(("stated", "types", "expected"), PRECISIONS)
def test_the_precision_is_the_file_type_unless_the_tensors_contradict_it(
    tmp_path: Path, stated: int | None, types: list[int], expected: str
) -> None:
    keys = () if stated is None else (scalar("general.file_type", INT32, stated),)
    tensors = [Stated(f"blk.{row}.w", (256, 2), kind) for row, kind in enumerate(types)]
    assert precision_of(read(tmp_path, gguf_bytes(keys, tensors))) == expected
