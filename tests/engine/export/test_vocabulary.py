from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import pytest
import tokenizers

from engine.errors import ExportError
from engine.export.gguf_file import GgufFile
from engine.export.gguf_tokenizer import tokenizer_of_gguf
from engine.export.vocabulary import read_vocabulary
from tests.engine.export.small_models import CHECKPOINTS, SMALL, copy_checkpoint, to_gguf

_OTHER_TOKENS = {
    "bert": {"control-marks", "mixed-scripts-long"},
    "nomic-bert": {"control-marks", "mixed-scripts-long"},
    "jina-bert-v2": {"control-marks", "mixed-scripts-long"},
    "xlm-roberta": {"accents-nfd"},
    "roberta": set[str](),
}
"""Where llama.cpp 0.3.36 tokenizes otherwise: with WordPiece it splits at U+0085 and drops vowel
signs of Devanagari; with Unigram it maps characters, not graphemes, so a letter and its combining
mark become one. The engine gives llama.cpp ids, never text."""


@pytest.fixture(scope="module", params=SMALL)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def written(name: str, tmp_path_factory: pytest.TempPathFactory) -> GgufFile:
    return to_gguf(CHECKPOINTS / name, tmp_path_factory.mktemp("vocabulary") / "model.gguf")


def test_llama_cpp_reads_the_vocabulary(name: str, written: GgufFile) -> None:
    """It makes the reference tokenizer's ids, but for texts that it is known to read otherwise."""
    pytest.importorskip(
        "llama_cpp", reason="llama.cpp is not installed: that it tokenizes alike was not checked"
    )
    from engine.backends.gguf import LlamaVocabulary

    rows = json.loads((CHECKPOINTS / name / "golden.json").read_bytes())["texts"]
    whole = [row for row in rows if not row.get("truncated") and "prompt_name" not in row]
    vocabulary = LlamaVocabulary(written.path)
    other = {row["name"] for row in whole if vocabulary.tokenize(row["text"]) != row["input_ids"]}
    vocabulary.close()
    assert len(whole) > 10
    assert other == _OTHER_TOKENS[name]


def test_each_id_has_its_token(name: str, written: GgufFile) -> None:
    """A row of the embedding matrix beyond the tokenizer's ids has an unused token."""
    model = json.loads((CHECKPOINTS / name / "tokenizer.json").read_bytes())["model"]
    tokens = written.value("tokenizer.ggml.tokens")
    types = written.value("tokenizer.ggml.token_type")
    assert len(tokens) == len(types) == written.hyperparameter("vocab_size")
    assert len(tokens) - types.count(int(gguf.TokenType.UNUSED)) == len(model["vocab"])
    if model["type"] == "BPE":
        assert {token: tokens.index(token) for token in model["vocab"]} == model["vocab"]
    if model["type"] == "Unigram":
        assert tokens == [piece for piece, _ in model["vocab"]]


def test_unigram_has_scores_types_and_the_character_map(tmp_path: Path) -> None:
    written = to_gguf(CHECKPOINTS / "xlm-roberta", tmp_path / "model.gguf")
    document = json.loads((CHECKPOINTS / "xlm-roberta" / "tokenizer.json").read_bytes())
    assert written.value("tokenizer.ggml.model") == "t5"
    assert written.value("tokenizer.ggml.scores") == pytest.approx(
        [score for _, score in document["model"]["vocab"]]
    )
    charsmap = base64.b64decode(document["normalizer"]["precompiled_charsmap"])
    assert bytes(written.value("tokenizer.ggml.precompiled_charsmap")) == charsmap
    kinds = gguf.TokenType
    expected = [kinds.CONTROL, kinds.CONTROL, kinds.CONTROL, kinds.UNKNOWN, kinds.NORMAL]
    assert written.value("tokenizer.ggml.token_type")[:5] == [int(kind) for kind in expected]
    for key in ("add_space_prefix", "remove_extra_whitespaces", "add_bos_token", "add_eos_token"):
        assert written.value(f"tokenizer.ggml.{key}") is True


def test_byte_level_bpe_has_its_merges_and_special_ids(tmp_path: Path) -> None:
    written = to_gguf(CHECKPOINTS / "roberta", tmp_path / "model.gguf")
    model = json.loads((CHECKPOINTS / "roberta" / "tokenizer.json").read_bytes())["model"]
    assert written.value("tokenizer.ggml.model") == "gpt2"
    assert written.value("tokenizer.ggml.pre") == "roberta-bpe"
    merges = [" ".join(pair) for pair in model["merges"]]
    assert written.value("tokenizer.ggml.merges") == merges
    roles = {"bos": 0, "padding": 1, "eos": 2, "seperator": 2, "unknown": 3, "mask": 999}
    assert {role: written.value(f"tokenizer.ggml.{role}_token_id") for role in roles} == roles


def _set(*path: str, value: object) -> Callable[[Any], None]:
    def change(document: Any) -> None:  # noqa: ANN401 - JSON
        for key in path[:-1]:
            document = document[key]
        document[path[-1]] = value

    return change


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("bert", _set("normalizer", value=None), "BertNormalizer"),
        ("bert", _set("model", "type", value="WordLevel"), "WordLevel"),
        ("xlm-roberta", _set("normalizer", value={"type": "NFKC"}), "NFKC"),
        ("xlm-roberta", _set("pre_tokenizer", value={"type": "Whitespace"}), "Whitespace"),
        ("xlm-roberta", _set("pre_tokenizer", value=None), "splits"),
        ("xlm-roberta", _set("model", "byte_fallback", value=True), "bytes"),
        ("xlm-roberta", _set("post_processor", value=None), "around a text"),
        ("roberta", _set("post_processor", value=None), "around a text"),
        ("roberta", _set("normalizer", value={"type": "NFC"}), "normalizer"),
        ("roberta", _set("pre_tokenizer", "use_regex", value=False), "byte-level"),
        ("roberta", _set("pre_tokenizer", value={"type": "Whitespace"}), "byte-level"),
        ("roberta", _set("model", "end_of_word_suffix", value="</w>"), "end_of_word_suffix"),
    ],
)
def test_a_tokenizer_that_a_gguf_file_can_not_state_is_refused(
    name: str, change: Callable[[Any], None], message: str, tmp_path: Path
) -> None:
    checkpoint = copy_checkpoint(
        name, tmp_path / "checkpoint", tokenizer=change, tokenizer_class="PreTrainedTokenizerFast"
    )
    with pytest.raises(ExportError, match=message):
        to_gguf(checkpoint, tmp_path / "model.gguf")


@pytest.mark.parametrize("name", SMALL)
def test_an_id_beyond_the_model_is_refused(name: str) -> None:
    text = (CHECKPOINTS / name / "tokenizer.json").read_text("utf-8")
    with pytest.raises(ExportError, match="the model has 900 ids"):
        read_vocabulary(text, 900)


def test_steps_of_a_normalizer_that_llama_cpp_has_are_read() -> None:
    document = json.loads((CHECKPOINTS / "xlm-roberta" / "tokenizer.json").read_bytes())
    joins = {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}
    charsmap = document["normalizer"]
    document["normalizer"] = {"type": "Sequence", "normalizers": [charsmap, joins]}
    document["pre_tokenizer"] = document["pre_tokenizer"]["pretokenizers"][1]
    vocabulary = read_vocabulary(json.dumps(document), 1500)
    assert vocabulary.flags["remove_extra_whitespaces"] is True
    assert vocabulary.charsmap == base64.b64decode(charsmap["precompiled_charsmap"])
    document["normalizer"] = charsmap
    vocabulary = read_vocabulary(json.dumps(document), 1500)
    assert vocabulary.flags["remove_extra_whitespaces"] is False


def test_a_space_before_the_text_comes_back_from_a_gguf_file(tmp_path: Path) -> None:
    change = _set("pre_tokenizer", "add_prefix_space", value=True)
    checkpoint = copy_checkpoint(
        "roberta",
        tmp_path / "checkpoint",
        tokenizer=change,
        tokenizer_class="PreTrainedTokenizerFast",
    )
    own = tokenizers.Tokenizer.from_file(str(checkpoint / "tokenizer.json"))
    made = tokenizer_of_gguf(to_gguf(checkpoint, tmp_path / "model.gguf"))
    texts = ("bread", " bread", "the best bread", "Brot")
    assert [made.encode(text).ids for text in texts] == [own.encode(text).ids for text in texts]
    assert own.encode("bread").ids == own.encode(" bread").ids


def test_a_tokenizer_that_lacks_its_unknown_token_is_refused() -> None:
    """It would fail at the first word that it does not know."""
    model = tokenizers.models.WordPiece({"a": 0, "[CLS]": 1}, unk_token="[UNK]")
    with pytest.raises(ExportError, match=r"is not a tokenizer: .*UNK"):
        read_vocabulary(tokenizers.Tokenizer(model).to_str(), 2)
