"""What transformers' tokenizer classes make of a tokenizer.json.

Some classes take only the vocabulary from it and build the rest anew, by what tokenizer_config.json
says and by defaults of their own (transformers 5.23; versions 4 change the same settings in what
they have read). Other classes take the file as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from engine.errors import ExportError
from engine.export.json_files import Json

_CLASS_OF_MODEL_TYPE = {
    "bert": "BertTokenizer",
    "nomic_bert": "BertTokenizer",
    "distilbert": "BertTokenizer",
    "electra": "BertTokenizer",
    "mpnet": "MPNetTokenizer",
    "roberta": "RobertaTokenizer",
    "xlm-roberta": "XLMRobertaTokenizer",
}
"""Where neither tokenizer_config.json nor config.json names a class."""
_BERT_TOKENS = {
    "unk_token": "[UNK]",
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
    "cls_token": "[CLS]",
    "mask_token": "[MASK]",
}
_ROBERTA_TOKENS = {
    "bos_token": "<s>",
    "eos_token": "</s>",
    "sep_token": "</s>",
    "cls_token": "<s>",
    "unk_token": "<unk>",
    "pad_token": "<pad>",
    "mask_token": "<mask>",
}
_SPACES_JOINED = {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}


@dataclass(frozen=True, slots=True)
class TokenizerClass:
    """A class that builds all but the vocabulary anew.

    `normalizer` and `pre_tokenizer` give the section that it makes of what is stated, or the
    document's own where that is the same in effect. `frame` are the tokens around a text.
    """

    model: str
    settings: Mapping[str, Any]
    """Keys of the document's `model`; `unk_token` is added where the class sets it."""
    normalizer: Callable[[Json, Json], Json | None]
    pre_tokenizer: Callable[[Json, Json], Json | None]
    tokens: Mapping[str, str]
    frame: tuple[str, str]
    states_unknown: bool = False


def tokenizer_class_of(stated: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    """The name of the class without `Fast`; empty where nothing says one."""
    named = stated.get("tokenizer_class") or config.get("tokenizer_class")
    by_type = _CLASS_OF_MODEL_TYPE.get(str(config.get("model_type", "")), "")
    return str(named or by_type).removesuffix("Fast")


def _bert_normalizer(document: Json, stated: Json) -> Json:
    made = {
        "type": "BertNormalizer",
        "clean_text": True,
        "handle_chinese_chars": bool(stated.get("tokenize_chinese_chars", True)),
        "strip_accents": stated.get("strip_accents"),
        "lowercase": bool(stated.get("do_lower_case", True)),
    }
    return _own_if_equal(document["normalizer"], made, {})


def _bert_pre_tokenizer(document: Json, stated: Json) -> Json:  # noqa: ARG001 - no choice
    return _own_if_equal(document["pre_tokenizer"], {"type": "BertPreTokenizer"}, {})


def _no_normalizer(document: Json, stated: Json) -> None:  # noqa: ARG001 - none at all
    return None


def _byte_level(document: Json, stated: Json) -> Json:
    made = {
        "type": "ByteLevel",
        "add_prefix_space": bool(stated.get("add_prefix_space", False)),
        "trim_offsets": True,  # Offsets are not used here.
        "use_regex": True,
    }
    own = document["pre_tokenizer"] or {}
    same = {"use_regex": True} | own | {"trim_offsets": True} == made
    return own if same else made


def _charsmap(document: Json, stated: Json) -> Json | None:  # noqa: ARG001 - no choice
    """The character map alone; what else joins spaces has no effect before a split at spaces."""
    steps = list(steps_of(document["normalizer"], "normalizers"))
    maps = [step for step in steps if step["type"] == "Precompiled"]
    others = [step for step in steps if step["type"] not in ("Precompiled", "Strip")]
    if len(maps) == 1 and all(step == _SPACES_JOINED for step in others):
        own: Json = document["normalizer"]
        return own
    return maps[0] if maps else None


def _metaspace(document: Json, stated: Json) -> Json:
    scheme = "always" if stated.get("add_prefix_space", True) else "never"
    found = list(steps_of(document["pre_tokenizer"], "pretokenizers"))
    if [step["type"] for step in found] == ["WhitespaceSplit", "Metaspace"]:
        last = found[1]
        own = last.get("prepend_scheme") or ("always" if last["add_prefix_space"] else "never")
        if (own, last.get("split", True), last["replacement"]) == (scheme, True, "\u2581"):
            section: Json = document["pre_tokenizer"]
            return section
    metaspace = {
        "type": "Metaspace",
        "replacement": "\u2581",
        "prepend_scheme": scheme,
        "split": True,
    }
    return {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, metaspace]}


def _own_if_equal(own: Json | None, made: Json, defaults: Json) -> Json:
    return own if own is not None and defaults | own == made else made


def steps_of(part: Json | None, members: str) -> Iterator[Json]:
    """The steps of a normalizer or pre-tokenizer, which may be none, one or a sequence."""
    if part is None:
        return
    if part["type"] == "Sequence":
        for step in part[members]:
            yield from steps_of(step, members)
    else:
        yield part


_WORDPIECE = {"continuing_subword_prefix": "##", "max_input_chars_per_word": 100}
_BPE = {
    "dropout": None,
    "continuing_subword_prefix": "",
    "end_of_word_suffix": "",
    "byte_fallback": False,
    "ignore_merges": False,
}
_BERT = TokenizerClass(
    model="WordPiece",
    settings=_WORDPIECE,
    normalizer=_bert_normalizer,
    pre_tokenizer=_bert_pre_tokenizer,
    tokens=_BERT_TOKENS,
    frame=("cls_token", "sep_token"),
    states_unknown=True,
)
_ROBERTA = TokenizerClass(
    model="BPE",
    settings=_BPE,
    normalizer=_no_normalizer,
    pre_tokenizer=_byte_level,
    tokens=_ROBERTA_TOKENS,
    frame=("cls_token", "sep_token"),
)
_BERT_NAMES = (
    *("Bert", "DistilBert", "Electra", "LayoutLM", "Lxmert", "MobileBert", "SqueezeBert"),
)
_ROBERTA_NAMES = ("Bart", "LED", "Longformer", "Roberta")
"""One class goes by several names, as `tokenizer_class_from_name` of transformers resolves them."""
_CLASSES = {
    **{f"{name}Tokenizer": _BERT for name in _BERT_NAMES},
    **{f"{name}Tokenizer": _ROBERTA for name in _ROBERTA_NAMES},
    "MPNetTokenizer": TokenizerClass(
        model="WordPiece",
        settings=_WORDPIECE,
        normalizer=_bert_normalizer,
        pre_tokenizer=_bert_pre_tokenizer,
        tokens=_ROBERTA_TOKENS | {"unk_token": "[UNK]"},
        frame=("cls_token", "sep_token"),
        states_unknown=True,
    ),
    "XLMRobertaTokenizer": TokenizerClass(
        model="Unigram",
        settings={"unk_id": 3, "byte_fallback": False},
        normalizer=_charsmap,
        pre_tokenizer=_metaspace,
        tokens=_ROBERTA_TOKENS,
        frame=("bos_token", "eos_token"),
    ),
}
_IN_PYTHON = frozenset({"BertJapaneseTokenizer", "BertweetTokenizer", "PhobertTokenizer"})
"""Classes that split words in Python, which no tokenizer.json can say."""
_AS_IT_IS = frozenset(
    {"", "PreTrainedTokenizer", "TokenizersBackend", "PythonBackend"}
    | {"ConvBertTokenizer", "DPRContextEncoderTokenizer", "DPRQuestionEncoderTokenizer"}
)
"""Classes that take tokenizer.json as it is; so do those of BERT's that build nothing anew."""
_AS_STATED = (
    "State PreTrainedTokenizerFast in tokenizer_config.json of a copy if tokenizer.json is to be "
    "taken as it is."
)


def rules_of(name: str, document: Json) -> TokenizerClass | None:
    """How the class builds its tokenizer; None where it takes tokenizer.json as it is.

    Raises:
        ExportError: it is not known what the class makes, or it makes another kind of tokenizer
            than the file has.
    """
    if name in _IN_PYTHON:
        raise ExportError(f"tokenizer_class {name} splits words in Python: it can't be exported.")
    if name not in _CLASSES and name not in _AS_IT_IS:
        raise ExportError(
            f"tokenizer_class {name} is not known here, and may change what tokenizer.json says. "
            f"Known: {', '.join(sorted(_CLASSES))}. {_AS_STATED}"
        )
    rules = _CLASSES.get(name)
    found = document["model"].get("type")
    if rules is not None and found not in (None, rules.model):
        raise ExportError(
            f"tokenizer_class {name} makes a tokenizer of the kind {rules.model}, but "
            f"tokenizer.json has {found}. {_AS_STATED}"
        )
    return rules
