"""What defines a small checkpoint, and the parts that several architectures share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel

Encoder = Callable[[Tensor, Tensor], Tensor]  # ids, mask (B x T) -> hidden states (B x T x H)
JsonValue = str | int | float | bool | list[str] | None
Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Recipe:
    """One small checkpoint. `shapes` and `load` read the directory that holds its config.json."""

    modelled_on: str
    config: Mapping[str, Any]
    tokenizer: Tokenizer
    tokenizer_config: Mapping[str, Any]
    max_input_tokens: int
    pooling: Literal["cls", "mean"]
    normalize_module: bool
    shapes: Callable[[Path], Shapes]
    load: Callable[[Path], Encoder]
    reference: str
    native: bool = True  # AutoModel and SentenceTransformer can load the directory
    dtype: torch.dtype = torch.float32
    prompts: Mapping[str, str] = field(default_factory=dict)
    matryoshka_dimensions: tuple[int, ...] = ()


def bert_tokenizer_config(max_tokens: int) -> dict[str, Any]:
    """Return the tokenizer_config.json of an uncased BERT vocabulary."""
    return {
        "cls_token": "[CLS]",
        "do_lower_case": True,
        "mask_token": "[MASK]",
        "model_max_length": max_tokens,
        "pad_token": "[PAD]",
        "sep_token": "[SEP]",
        "strip_accents": None,
        "tokenize_chinese_chars": True,
        "tokenizer_class": "BertTokenizer",
        "unk_token": "[UNK]",
    }


def roberta_tokenizer_config(tokenizer_class: str, max_tokens: int) -> dict[str, Any]:
    """Return the tokenizer_config.json of RoBERTa's special tokens."""
    return {
        "bos_token": "<s>",
        "cls_token": "<s>",
        "eos_token": "</s>",
        "mask_token": "<mask>",
        "model_max_length": max_tokens,
        "pad_token": "<pad>",
        "sep_token": "</s>",
        "tokenizer_class": tokenizer_class,
        "unk_token": "<unk>",
    }


def bert_config(**changed: JsonValue) -> dict[str, Any]:
    """Return the keys BERT and its relatives share, at 64 wide, 4 heads and 3 layers."""
    return {
        "architectures": ["BertModel"],
        "attention_probs_dropout_prob": 0.1,
        "classifier_dropout": None,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
        "hidden_size": 64,
        "initializer_range": 0.02,
        "intermediate_size": 128,
        "layer_norm_eps": 1e-12,
        "max_position_embeddings": 256,
        "model_type": "bert",
        "num_attention_heads": 4,
        "num_hidden_layers": 3,
        "pad_token_id": 0,
        "position_embedding_type": "absolute",
        "torch_dtype": "float32",
        "type_vocab_size": 2,
        "use_cache": True,
        **changed,
    }


def native_shapes(directory: Path) -> Shapes:
    """Return the tensors that transformers' own class of the architecture has."""
    model = AutoModel.from_config(AutoConfig.from_pretrained(directory))
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


def encoder_of(model: nn.Module) -> Encoder:
    """Wrap a transformers model, so that it takes two tensors and returns one."""

    def encode(input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        return model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state

    return encode


def native(directory: Path) -> Encoder:
    """Load the directory with transformers' own class of the architecture, in float32."""
    model, report = AutoModel.from_pretrained(
        directory, dtype=torch.float32, output_loading_info=True
    )
    refuse_missing(report)
    return encoder_of(model.eval())


def refuse_missing(report: Mapping[str, Any]) -> None:
    """Raise ValueError if transformers filled in a tensor that the checkpoint lacks."""
    if report["missing_keys"]:
        raise ValueError(f"tensors not found in the checkpoint: {report['missing_keys']}")


def padded_vocabulary(vocab_size: int) -> int:
    """Round up to a multiple of 64: these checkpoints have more rows than the tokenizer has ids."""
    return (vocab_size // 64 + 1) * 64
