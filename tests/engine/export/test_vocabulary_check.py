from __future__ import annotations

from pathlib import Path

import gguf
import pytest

from engine.errors import ExportError
from engine.export.gguf_file import GgufFile
from engine.export.gguf_tokenizer import tokenizer_of_gguf
from engine.export.vocabulary_check import check_vocabulary
from tests.engine.export.small_models import CHECKPOINTS, SMALL, to_gguf

CONTROL, NORMAL = int(gguf.TokenType.CONTROL), int(gguf.TokenType.NORMAL)


def as_converted(source: GgufFile, path: Path) -> GgufFile:
    """The vocabulary as llama.cpp's converter wrote it for BERT-like models: as WordPiece."""
    keys = "tokenizer.ggml."
    old = source.value(f"{keys}tokens")
    is_special = [token in ("<s>", "</s>", "<unk>", "<pad>", "<mask>") for token in old]
    rows = list(zip(old, is_special, strict=True))
    tokens = [token if special else f"\u2581{token}" for token, special in rows]
    writer = gguf.GGUFWriter(path, "bert")
    writer.add_tokenizer_model("bert")
    writer.add_token_list(tokens)
    writer.add_token_types([CONTROL if special else NORMAL for special in is_special])
    writer.add_unk_token_id(tokens.index("<unk>"))
    writer.add_bos_token_id(tokens.index("<s>"))
    writer.add_sep_token_id(tokens.index("</s>"))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    return GgufFile(path)


@pytest.mark.parametrize("name", SMALL)
def test_a_vocabulary_that_is_what_it_says_passes(name: str, tmp_path: Path) -> None:
    file = to_gguf(CHECKPOINTS / name, tmp_path / "model.gguf")
    check_vocabulary(file, tokenizer_of_gguf(file))


@pytest.mark.parametrize(
    ("name", "evidence"),
    [
        ("xlm-roberta", r"begin with '\u2581\u2581', as SentencePiece's do"),
        ("roberta", r"begin with '\u2581\u0120', as byte-level BPE's do"),
    ],
)
def test_another_kind_written_as_wordpiece_is_refused_without_llama_cpp(
    name: str, evidence: str, tmp_path: Path
) -> None:
    source = to_gguf(CHECKPOINTS / name, tmp_path / "model.gguf")
    file = as_converted(source, tmp_path / "converted.gguf")
    with pytest.raises(ExportError, match=f"states a vocabulary of WordPiece, but .*{evidence}"):
        check_vocabulary(file, tokenizer_of_gguf(file))


def test_a_vocabulary_that_knows_no_english_is_refused(tmp_path: Path) -> None:
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *(f"\u2581{word}" for word in ("a", "i", "the"))]
    writer = gguf.GGUFWriter(tmp_path / "model.gguf", "bert")
    writer.add_tokenizer_model("bert")
    writer.add_token_list(tokens)
    writer.add_token_types([CONTROL] * 4 + [NORMAL] * 3)
    writer.add_unk_token_id(1)
    writer.add_bos_token_id(2)
    writer.add_sep_token_id(3)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    file = GgufFile(tmp_path / "model.gguf")
    with pytest.raises(ExportError, match=r"\d+% of the tokens of English texts are unknown"):
        check_vocabulary(file, tokenizer_of_gguf(file))
