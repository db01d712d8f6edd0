"""The cases of the parity matrix: each is a small checkpoint with one fact stated otherwise."""

from __future__ import annotations

from typing import Any, NamedTuple

from overlay import Change

_TOKENIZER, _TOKENIZER_CONFIG = "tokenizer.json", "tokenizer_config.json"
_SENTENCE, _MODEL, _MODULES = (
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
    "modules.json",
)
_POOLING = "1_Pooling/config.json"
_ST = "sentence_transformers"


class Case(NamedTuple):
    """A changed copy of the checkpoint `base`. `prompts` are names to embed some texts with."""

    name: str
    base: str
    files: dict[str, Change]
    prompts: tuple[str | None, ...] = (None,)


def changed(
    file: str,
    base: str = "bert",
    *,
    unset: tuple[str, ...] = (),
    also: dict[str, Change] | None = None,
    **values: Any,  # noqa: ANN401 - whatever a file may say
) -> tuple[str, dict[str, Change]]:
    """A file with some keys set and others taken out."""
    change = {"set": values} | ({"unset": list(unset)} if unset else {})
    return base, {file: change} | (also or {})


def modules(*types: str, paths: dict[str, str] | None = None) -> list[dict]:
    """The rows of a modules.json."""
    rows = []
    for index, kind in enumerate(types):
        name = kind.rsplit(".", 1)[-1]
        path = (paths or {}).get(name, f"{index}_{name}" if index else "")
        rows.append({"idx": index, "name": str(index), "path": path, "type": kind})
    return rows


_OLD = [f"{_ST}.models.{name}" for name in ("Transformer", "Pooling", "Normalize")]
_NEW = [
    f"{_ST}.base.modules.transformer.Transformer",
    f"{_ST}.sentence_transformer.modules.pooling.Pooling",
    f"{_ST}.base.modules.normalize.Normalize",
]
_BERT_NORMALIZER = {
    "type": "BertNormalizer",
    "clean_text": True,
    "handle_chinese_chars": True,
    "strip_accents": None,
    "lowercase": True,
}
_CASED = {"normalizer": _BERT_NORMALIZER | {"lowercase": False}}
_METASPACE = {
    "type": "Metaspace",
    "replacement": "\u2581",
    "prepend_scheme": "never",
    "split": True,
}
_EXTRA = {
    "content": "s",
    "single_word": False,
    "lstrip": False,
    "rstrip": False,
    "normalized": False,
    "special": False,
}


def _modules_case(*rows: dict, base: str = "bert") -> tuple[str, dict[str, Change]]:
    return base, {_MODULES: {"replace": list(rows)}}


def _pooling(**config: Any) -> tuple[str, dict[str, Change]]:  # noqa: ANN401
    return "bert", {_POOLING: {"replace": config}}


def _mode(mode: Any) -> tuple[str, dict[str, Change]]:  # noqa: ANN401
    return _pooling(word_embedding_dimension=64, pooling_mode=mode)


PROMPTS = {"query": "query: ", "document": ""}
_TABLE: dict[str, tuple[str, dict[str, Change]]] = {
    # tokenizer_config.json and tokenizer.json, WordPiece
    "bert": ("bert", {}),
    "cased": changed(_TOKENIZER_CONFIG, do_lower_case=False),
    "cased in both": changed(
        _TOKENIZER_CONFIG, do_lower_case=False, also={_TOKENIZER: {"set": _CASED}}
    ),
    "case not stated": changed(_TOKENIZER_CONFIG, unset=("do_lower_case",)),
    "case stated by tokenizer.json alone": changed(
        _TOKENIZER_CONFIG, unset=("do_lower_case",), also={_TOKENIZER: {"set": _CASED}}
    ),
    "lower case against tokenizer.json": changed(_TOKENIZER, **_CASED),
    "accents stripped": changed(_TOKENIZER_CONFIG, do_lower_case=False, strip_accents=True),
    "accents kept": changed(_TOKENIZER_CONFIG, strip_accents=False),
    "CJK not split": changed(_TOKENIZER_CONFIG, tokenize_chinese_chars=False),
    "fast class": changed(_TOKENIZER_CONFIG, tokenizer_class="BertTokenizerFast"),
    "no class": changed(_TOKENIZER_CONFIG, unset=("tokenizer_class",)),
    "plain fast class": changed(
        _TOKENIZER_CONFIG, tokenizer_class="PreTrainedTokenizerFast", do_lower_case=False
    ),
    "plain backend class": changed(
        _TOKENIZER_CONFIG, tokenizer_class="TokenizersBackend", strip_accents=False
    ),
    "plain fast class, cased tokenizer.json": changed(
        _TOKENIZER_CONFIG,
        tokenizer_class="PreTrainedTokenizerFast",
        also={_TOKENIZER: {"set": _CASED}},
    ),
    "DistilBERT's class": changed(
        _TOKENIZER_CONFIG, tokenizer_class="DistilBertTokenizer", do_lower_case=False
    ),
    **{
        f"{name} class, cased": changed(
            _TOKENIZER_CONFIG, tokenizer_class=f"{name}Tokenizer", do_lower_case=False
        )
        for name in (
            *("MobileBert", "LayoutLM", "Lxmert", "SqueezeBert", "ConvBert", "Electra"),
            *("DPRContextEncoder", "DPRQuestionEncoder"),
        )
    },
    "SqueezeBert class, accents kept": changed(
        _TOKENIZER_CONFIG, tokenizer_class="SqueezeBertTokenizerFast", strip_accents=False
    ),
    **{
        f"{name} class": changed(
            _TOKENIZER_CONFIG, tokenizer_class=f"{name}Tokenizer", do_lower_case=False
        )
        for name in ("Splinter", "Herbert")
    },
    "class of its own": changed(
        _TOKENIZER_CONFIG, tokenizer_class="OurTokenizer", do_lower_case=False
    ),
    "Japanese class": changed(_TOKENIZER_CONFIG, tokenizer_class="BertJapaneseTokenizer"),
    "tokenizer with code": changed(
        _TOKENIZER_CONFIG, auto_map={"AutoTokenizer": ["tok.OurTokenizer", None]}
    ),
    "no tokenizer_config.json": ("bert", {_TOKENIZER_CONFIG: None}),
    "no tokenizer_config.json, cased": (
        "bert",
        {_TOKENIZER_CONFIG: None, _TOKENIZER: {"set": _CASED}},
    ),
    "cut at the start": changed(_TOKENIZER_CONFIG, truncation_side="left"),
    "padded at the start": changed(_TOKENIZER_CONFIG, padding_side="left"),
    "clean-up": changed(_TOKENIZER_CONFIG, clean_up_tokenization_spaces=True),
    "special tokens split": changed(_TOKENIZER_CONFIG, split_special_tokens=True),
    "never split": changed(_TOKENIZER_CONFIG, do_basic_tokenize=False, never_split=["bread"]),
    "other first token": changed(_TOKENIZER_CONFIG, cls_token="[MASK]"),
    "other unknown token": changed(_TOKENIZER_CONFIG, unk_token="[MASK]"),
    "other first token in special_tokens_map.json": changed(
        "special_tokens_map.json", cls_token="[MASK]"
    ),
    "added token in tokenizer_config.json": changed(
        _TOKENIZER_CONFIG,
        added_tokens_decoder={
            str(index): _EXTRA | {"content": token, "special": True}
            for index, token in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
        }
        | {"22": _EXTRA},
    ),
    "added token in tokenizer.json": (
        "bert",
        {_TOKENIZER: {"append": {"added_tokens": [{"id": 22, **_EXTRA}]}}},
    ),
    "added token in tokenizer.json, others in tokenizer_config.json": changed(
        _TOKENIZER_CONFIG,
        added_tokens_decoder={
            str(index): _EXTRA | {"content": token, "special": True}
            for index, token in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
        },
        also={_TOKENIZER: {"append": {"added_tokens": [{"id": 22, **_EXTRA}]}}},
    ),
    "more special tokens": changed(_TOKENIZER_CONFIG, additional_special_tokens=["s"]),
    "special token of its own": changed(_TOKENIZER_CONFIG, bread_token="s"),
    "added_tokens.json": ("bert", {"added_tokens.json": {"replace": {"s": 22}}}),
    "other splitter": changed(_TOKENIZER, pre_tokenizer={"type": "Whitespace"}),
    "no normalizer": changed(_TOKENIZER, normalizer=None),
    "no clean text": changed(_TOKENIZER, normalizer=_BERT_NORMALIZER | {"clean_text": False}),
    "short words only": changed(_TOKENIZER, **{"model.max_input_chars_per_word": 4}),
    "other frame": changed(_TOKENIZER, post_processor=None),
    "cut by tokenizer.json": changed(
        _TOKENIZER,
        truncation={
            "max_length": 16,
            "strategy": "LongestFirst",
            "stride": 0,
            "direction": "Right",
        },
        padding={
            "strategy": {"Fixed": 32},
            "direction": "Right",
            "pad_to_multiple_of": None,
            "pad_id": 0,
            "pad_type_id": 0,
            "pad_token": "[PAD]",
        },
    ),
    "cut at the start by tokenizer.json": changed(
        _TOKENIZER,
        truncation={
            "max_length": 16,
            "strategy": "LongestFirst",
            "stride": 0,
            "direction": "Left",
        },
    ),
    "no tokenizer.json": ("bert", {_TOKENIZER: None, "vocab.txt": {"replace": "[PAD]\n[UNK]\n"}}),
    # The limit
    "limit of the tokenizer": changed(
        _TOKENIZER_CONFIG, model_max_length=24, also={_SENTENCE: {"unset": ["max_seq_length"]}}
    ),
    "limit of both": changed(
        _TOKENIZER_CONFIG, model_max_length=24, also={_SENTENCE: {"set": {"max_seq_length": 32}}}
    ),
    "limit beyond the tokenizer's": changed(_TOKENIZER_CONFIG, model_max_length=24),
    "limit null": changed(_SENTENCE, max_seq_length=None),
    "limit of the positions": changed(
        _TOKENIZER_CONFIG,
        unset=("model_max_length",),
        also={_SENTENCE: {"unset": ["max_seq_length"]}},
    ),
    "old name of the limit": changed(
        _TOKENIZER_CONFIG,
        unset=("model_max_length",),
        max_len=24,
        also={_SENTENCE: {"unset": ["max_seq_length"]}},
    ),
    # sentence_bert_config.json
    "no sentence_bert_config.json": ("bert", {_SENTENCE: None}),
    "lower case asked for by sentence-transformers": changed(
        _SENTENCE, do_lower_case=True, also={_TOKENIZER_CONFIG: {"set": {"do_lower_case": False}}}
    ),
    "lower case asked for, accents kept": changed(
        _SENTENCE, do_lower_case=True, also={_TOKENIZER_CONFIG: {"set": {"strip_accents": False}}}
    ),
    "lower case twice": changed(_SENTENCE, do_lower_case=True),
    "tokenizer_args": changed(_SENTENCE, tokenizer_args={"do_lower_case": False}),
    "processor_kwargs": changed(_SENTENCE, processor_kwargs={"strip_accents": False}),
    "limit in processor_kwargs": changed(_SENTENCE, processor_kwargs={"model_max_length": 24}),
    "side in tokenizer_args": changed(_SENTENCE, tokenizer_args={"truncation_side": "left"}),
    "class in tokenizer_args": changed(_SENTENCE, tokenizer_args={"tokenizer_type": "roberta"}),
    "both names of the tokenizer's arguments": changed(
        _SENTENCE,
        tokenizer_args={"do_lower_case": False},
        processor_kwargs={"strip_accents": False},
    ),
    "empty arguments": changed(
        _SENTENCE, tokenizer_args={}, model_args={}, config_args={}, processing_kwargs={}
    ),
    "precision in model_args": changed(_SENTENCE, model_args={"torch_dtype": "float32"}),
    "half precision in model_kwargs": changed(_SENTENCE, model_kwargs={"dtype": "bfloat16"}),
    "attention in model_kwargs": changed(_SENTENCE, model_kwargs={"attn_implementation": "eager"}),
    "pooler in model_args": changed(_SENTENCE, model_args={"add_pooling_layer": False}),
    "activation in config_args": changed(_SENTENCE, config_args={"hidden_act": "relu"}),
    "norm in config_kwargs": changed(_SENTENCE, config_kwargs={"layer_norm_eps": 0.1}),
    "unknown key": changed(_SENTENCE, bread="butter"),
    "unpadded": changed(_SENTENCE, unpad_inputs=True),
    "task": changed(_SENTENCE, transformer_task="fill-mask"),
    "usual task": changed(
        _SENTENCE,
        transformer_task="feature-extraction",
        modality_config={"text": {"method": "forward", "method_output_name": "last_hidden_state"}},
        module_output_name="token_embeddings",
    ),
    "other output": changed(
        _SENTENCE,
        modality_config={"text": {"method": "forward", "method_output_name": ["hidden_states", 1]}},
        module_output_name="token_embeddings",
    ),
    "processing": changed(_SENTENCE, processing_kwargs={"text": {"max_length": 16}}),
    "processing at all": changed(
        _SENTENCE, processing_kwargs={"common": {"add_special_tokens": False}}
    ),
    "length of queries": changed(_SENTENCE, query_length=16, document_length=24),
    "other tokenizer": changed(_SENTENCE, tokenizer_name_or_path="elsewhere"),
    **{
        f"old name {kind}": (
            "bert",
            {
                _SENTENCE: {
                    "move": f"sentence_{kind}_config.json",
                    "set": {"max_seq_length": 24, "do_lower_case": True},
                },
                _TOKENIZER_CONFIG: {"set": {"do_lower_case": False}},
            },
        )
        for kind in ("roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
    },
    "unknown old name": (
        "bert",
        {_SENTENCE: {"move": "sentence_mpnet_config.json", "set": {"max_seq_length": 24}}},
    ),
    "old name beside the new one": changed(
        "sentence_roberta_config.json",
        max_seq_length=24,
        also={_SENTENCE: {"set": {"max_seq_length": 32}}},
    ),
    "old name beside an empty new one": changed(
        "sentence_roberta_config.json", max_seq_length=24, also={_SENTENCE: {"replace": {}}}
    ),
    # config_sentence_transformers.json
    "truncated": changed(_MODEL, truncate_dim=32),
    "truncated without Normalize": changed(
        _MODEL, truncate_dim=32, also={_MODULES: {"replace": modules(*_OLD[:2])}}
    ),
    "truncated, dot": changed(
        _MODEL,
        truncate_dim=32,
        similarity_fn_name="dot",
        also={_MODULES: {"replace": modules(*_OLD[:2])}},
    ),
    "truncated to all": changed(_MODEL, truncate_dim=64),
    "truncated to nothing": changed(_MODEL, truncate_dim=None),
    "unknown default prompt": changed(_MODEL, prompts=PROMPTS, default_prompt_name="bread"),
    "default prompt without prompts": changed(_MODEL, default_prompt_name="query"),
    "dot": changed(_MODEL, similarity_fn_name="dot"),
    "dot without Normalize": changed(
        _MODEL, similarity_fn_name="dot", also={_MODULES: {"replace": modules(*_OLD[:2])}}
    ),
    "euclidean without Normalize": changed(
        _MODEL, similarity_fn_name="euclidean", also={_MODULES: {"replace": modules(*_OLD[:2])}}
    ),
    "old name of the similarity": changed(
        _MODEL, similarity_fn_name="dot_score", also={_MODULES: {"replace": modules(*_OLD[:2])}}
    ),
    "cosine": changed(_MODEL, similarity_fn_name="cosine"),
    "sparse": changed(_MODEL, model_type="SparseEncoder"),
    "multi-vector": changed(_MODEL, model_type="MultiVectorEncoder"),
    "reranker": changed(_MODEL, model_type="CrossEncoder"),
    "versions": changed(
        _MODEL,
        model_type="SentenceTransformer",
        bread="butter",
        __version__={"pytorch": "2.0", "sentence_transformers": "6.0.0"},
    ),
    # modules.json
    "without Normalize": _modules_case(*modules(*_OLD[:2])),
    "no modules.json": ("bert", {_MODULES: None}),
    "no modules.json, limit and lower case": (
        "bert",
        {
            _MODULES: None,
            _SENTENCE: {"set": {"max_seq_length": 24, "do_lower_case": True}},
            _TOKENIZER_CONFIG: {"set": {"do_lower_case": False}},
        },
    ),
    "no modules.json, default prompt": (
        "bert",
        {
            _MODULES: None,
            _MODEL: {"set": {"prompts": PROMPTS, "default_prompt_name": "query"}},
        },
    ),
    "no modules.json, dimensions": (
        "bert",
        {_MODULES: None, _MODEL: {"set": {"truncate_dim": 32}}},
    ),
    "new names of modules": _modules_case(*modules(*_NEW)),
    "Normalize under its old path": _modules_case(
        *modules(*_NEW[:2], f"{_ST}.sentence_transformer.modules.normalize.Normalize")
    ),
    "names as exported": _modules_case(
        *modules(*[f"{_ST}.sentence_transformer.modules.{n}" for n in ("Transformer", "Pooling")])
    ),
    "code of its own": _modules_case(*modules("custom_st.Transformer", *_OLD[1:])),
    "pooling of its own": _modules_case(*modules(_OLD[0], "custom_st.Pooling")),
    "other package": _modules_case(*modules(_OLD[0], "other_package.models.Pooling")),
    "sparse pooling": _modules_case(
        *modules(_OLD[0], f"{_ST}.sparse_encoder.models.SpladePooling")
    ),
    "Normalize twice": _modules_case(*modules(*_OLD, _OLD[2])),
    "Normalize before Pooling": _modules_case(
        *modules(_OLD[0], _OLD[2], _OLD[1], paths={"Pooling": "1_Pooling"})
    ),
    "two poolings": _modules_case(
        *modules(_OLD[0], _OLD[1], _OLD[1], paths={"Pooling": "1_Pooling"})
    ),
    "Dense": _modules_case(*modules(*_OLD[:2], f"{_ST}.models.Dense")),
    "LayerNorm": _modules_case(*modules(*_OLD[:2], f"{_ST}.models.LayerNorm")),
    "Dropout": _modules_case(*modules(*_OLD[:2], f"{_ST}.models.Dropout")),
    "WordWeights": _modules_case(*modules(_OLD[0], f"{_ST}.models.WordWeights", _OLD[1])),
    "Transformer alone": _modules_case(*modules(_OLD[0])),
    "arguments of a module": _modules_case(
        {**modules(_OLD[0])[0], "kwargs": ["task"]}, *modules(*_OLD)[1:]
    ),
    "Transformer in a directory": (
        "bert",
        {
            _MODULES: {"replace": modules(*_OLD, paths={"Transformer": "0_Transformer"})},
            _SENTENCE: {"move": f"0_Transformer/{_SENTENCE}", "set": {"max_seq_length": 24}},
        },
    ),
    "Normalize of tokens": (
        "bert",
        {"2_Normalize/config.json": {"replace": {"module_input_name": "token_embeddings"}}},
    ),
    "Normalize as usual": (
        "bert",
        {
            "2_Normalize/config.json": {
                "replace": {
                    "module_input_name": "sentence_embedding",
                    "module_output_name": "sentence_embedding",
                }
            }
        },
    ),
    "adapter": ("bert", {"adapter_config.json": {"replace": {"peft_type": "LORA"}}}),
    # Pooling
    **{
        f"pooling {mode}": _mode(mode)
        for mode in ("cls", "mean", "lasttoken", "max", "mean_sqrt_len_tokens", "weightedmean")
    },
    "pooling in a list": _mode(["mean"]),
    "two modes": _mode(["cls", "mean"]),
    "two old modes": _pooling(
        word_embedding_dimension=64, pooling_mode_cls_token=True, pooling_mode_mean_tokens=True
    ),
    "old last token": _pooling(word_embedding_dimension=64, pooling_mode_lasttoken=True),
    "old weighted mean": _pooling(
        word_embedding_dimension=64, pooling_mode_weightedmean_tokens=True
    ),
    "no mode": _pooling(word_embedding_dimension=64),
    "old modes all off": _pooling(
        word_embedding_dimension=64, pooling_mode_cls_token=False, pooling_mode_mean_tokens=False
    ),
    "mode in both forms": _pooling(
        embedding_dimension=64, pooling_mode="mean", pooling_mode_cls_token=True
    ),
    "old mode of 1": _pooling(embedding_dimension=64, pooling_mode_cls_token=1),
    "old modes of text": _pooling(
        embedding_dimension=64, pooling_mode_mean_tokens=True, pooling_mode_cls_token="true"
    ),
    "unknown key of pooling": _pooling(embedding_dimension=64, pooling_mode="mean", bread=1),
    "prompt out of pooling": (
        "bert",
        {
            _POOLING: {"set": {"include_prompt": False}},
            _MODEL: {"set": {"prompts": PROMPTS}},
        },
    ),
    "other width": _pooling(embedding_dimension=32, pooling_mode="mean"),
    # config.json
    "activation": changed("config.json", hidden_act="relu"),
    "activation gelu_new": changed("config.json", hidden_act="gelu_new"),
    "norm": changed("config.json", layer_norm_eps=0.1),
    "decoder": changed("config.json", is_decoder=True),
    "relative positions": changed("config.json", position_embedding_type="relative_key"),
    "tokenizer class in config.json": changed(
        "config.json",
        tokenizer_class="PreTrainedTokenizerFast",
        also={_TOKENIZER_CONFIG: {"unset": ["tokenizer_class"]}, _TOKENIZER: {"set": _CASED}},
    ),
    "model with code": changed("config.json", auto_map={"AutoModel": "modeling.OurModel"}),
    "DistilBERT": changed("config.json", model_type="distilbert"),
    # Byte-level BPE
    "roberta": ("roberta", {}),
    "roberta, space first": changed(_TOKENIZER_CONFIG, "roberta", add_prefix_space=True),
    "roberta, space first in tokenizer.json": changed(
        _TOKENIZER, "roberta", **{"pre_tokenizer.add_prefix_space": True}
    ),
    "roberta, space first in tokenizer.json alone": changed(
        _TOKENIZER,
        "roberta",
        **{"pre_tokenizer.add_prefix_space": True},
        also={_TOKENIZER_CONFIG: {"unset": ["add_prefix_space"]}},
    ),
    "roberta, plain class, space first": changed(
        _TOKENIZER_CONFIG,
        "roberta",
        tokenizer_class="PreTrainedTokenizerFast",
        add_prefix_space=True,
    ),
    "roberta, plain class, space first in tokenizer.json": changed(
        _TOKENIZER_CONFIG,
        "roberta",
        tokenizer_class="PreTrainedTokenizerFast",
        also={_TOKENIZER: {"set": {"pre_tokenizer.add_prefix_space": True}}},
    ),
    "roberta, no class": changed(
        _TOKENIZER_CONFIG, "roberta", unset=("tokenizer_class",), add_prefix_space=True
    ),
    "roberta, space in tokenizer_args": changed(
        _SENTENCE, "roberta", tokenizer_args={"add_prefix_space": True}
    ),
    "roberta, lower case asked for": changed(_SENTENCE, "roberta", do_lower_case=True),
    "roberta, normalizer": changed(_TOKENIZER, "roberta", normalizer={"type": "Lowercase"}),
    "roberta, no offsets": changed(_TOKENIZER_CONFIG, "roberta", trim_offsets=False),
    "roberta, plain mask": changed(_TOKENIZER_CONFIG, "roberta", mask_token="<pad>"),
    "roberta, limit of the positions": changed(
        _SENTENCE,
        "roberta",
        unset=("max_seq_length",),
        also={_TOKENIZER_CONFIG: {"set": {"model_max_length": 256}}},
    ),
    "roberta, old name": (
        "roberta",
        {_SENTENCE: {"move": "sentence_roberta_config.json", "set": {"max_seq_length": 24}}},
    ),
    "roberta, padding is the first token": changed("config.json", "roberta", pad_token_id=0),
    "roberta, padding is a word": changed("config.json", "roberta", pad_token_id=40),
    "roberta, BERT's class": changed(_TOKENIZER_CONFIG, "roberta", tokenizer_class="BertTokenizer"),
    **{
        f"roberta, {name} class, space first": changed(
            _TOKENIZER_CONFIG, "roberta", tokenizer_class=f"{name}Tokenizer", add_prefix_space=True
        )
        for name in ("Longformer", "LED", "Bart")
    },
    # Unigram
    "xlm-roberta": ("xlm-roberta", {}),
    "xlm-roberta, no space first": changed(
        _TOKENIZER_CONFIG, "xlm-roberta", add_prefix_space=False
    ),
    "xlm-roberta, fast class": changed(
        _TOKENIZER_CONFIG, "xlm-roberta", tokenizer_class="XLMRobertaTokenizerFast"
    ),
    "xlm-roberta, plain class": changed(
        _TOKENIZER_CONFIG,
        "xlm-roberta",
        tokenizer_class="PreTrainedTokenizerFast",
        add_prefix_space=False,
    ),
    "xlm-roberta, ALBERT's class": changed(
        _TOKENIZER_CONFIG, "xlm-roberta", tokenizer_class="AlbertTokenizer"
    ),
    "xlm-roberta, T5's class": changed(
        _TOKENIZER_CONFIG, "xlm-roberta", tokenizer_class="T5TokenizerFast"
    ),
    "xlm-roberta, T5's class in config.json": changed(
        "config.json",
        "xlm-roberta",
        tokenizer_class="T5Tokenizer",
        also={_TOKENIZER_CONFIG: {"unset": ["tokenizer_class"]}},
    ),
    "xlm-roberta, padding is the unknown": changed("config.json", "xlm-roberta", pad_token_id=3),
    "xlm-roberta, no space first in tokenizer.json": changed(
        _TOKENIZER, "xlm-roberta", pre_tokenizer=_METASPACE
    ),
    "xlm-roberta, no space first, plain class": changed(
        _TOKENIZER,
        "xlm-roberta",
        pre_tokenizer=_METASPACE,
        also={_TOKENIZER_CONFIG: {"set": {"tokenizer_class": "PreTrainedTokenizerFast"}}},
    ),
    "xlm-roberta, lower case asked for": changed(_SENTENCE, "xlm-roberta", do_lower_case=True),
    "xlm-roberta, no normalizer": changed(_TOKENIZER, "xlm-roberta", normalizer=None),
    "xlm-roberta, old name": (
        "xlm-roberta",
        {_SENTENCE: {"move": "sentence_xlm-roberta_config.json", "set": {"max_seq_length": 24}}},
    ),
}

_PROMPTED = (
    Case("prompts", "bert", {_MODEL: {"set": {"prompts": PROMPTS}}}, (None, "query", "document")),
    Case(
        "prompt null",
        "bert",
        {_MODEL: {"set": {"prompts": {"query": None, "passage": "passage: "}}}},
        (None, "query", "passage"),
    ),
    Case(
        "default prompt",
        "bert",
        {_MODEL: {"set": {"prompts": PROMPTS, "default_prompt_name": "query"}}},
        (None, "query", "document"),
    ),
    Case(
        "empty default prompt",
        "bert",
        {_MODEL: {"set": {"prompts": PROMPTS, "default_prompt_name": "document"}}},
        (None, "query", "document"),
    ),
    Case(
        "default prompt, pooling without it",
        "bert",
        {
            _MODEL: {"set": {"prompts": PROMPTS, "default_prompt_name": "query"}},
            _POOLING: {"set": {"include_prompt": False}},
        },
    ),
)
CASES = (*(Case(name, base, files) for name, (base, files) in _TABLE.items()), *_PROMPTED)
TEXTS = {
    "accents": "Café déjà vu: naïve Ångström, Ærø, İstanbul, straße",
    "decomposed": "Cafe\u0301 de\u0301ja\u0300 vu",
    "capitals": "The QUICK Brown Fox bakes Bread in ZÜRICH.",
    "cjk": "機械学習 and 机器学习 for 임베딩",
    "emoji": "I \u2764\ufe0f bread \U0001f35e \U0001f468\u200d\U0001f469\u200d\U0001f467!",
    "spaces": "   leading and  double   spaces ",
    "marks": "a\ttab,\na line\r\nand a zero\u200bwidth; \u0085 and \u0007 bell",
    "special": "the [MASK] and [SEP] and <mask> </s> <s>",
    "one": "a",
    "space": " ",
    "plain": "how do I store the bread so that it stays fresh for a week?",
    "long": "The database Server stores Sorted rows, so a Query reads few pages. " * 12,
}
PROMPTED_TEXTS = ("capitals", "plain", "spaces", "long")
