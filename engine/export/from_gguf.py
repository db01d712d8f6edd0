"""A GGUF file as a source: its weights stay what they are, its tokenizer is made anew."""

from __future__ import annotations

from dataclasses import replace

import gguf

from engine.errors import ExportError, UnsupportedArchitectureError
from engine.export.architectures import architecture_of_gguf
from engine.export.gguf_file import GgufFile
from engine.export.gguf_tokenizer import tokenizer_of_gguf
from engine.export.gguf_writer import NORMALIZE_KEY
from engine.export.known_models import known_model
from engine.export.model_source import ModelSource, Opening, check_length, sizes
from engine.export.normalization import normalization
from engine.export.options import ExportOptions, Facts
from engine.export.tokenizer_check import compare_with_llama_cpp
from engine.export.vocabulary_check import check_vocabulary
from engine.model import sha256_of
from engine.types import Pooling

_NO_GENERATORS = {
    gguf.MODEL_ARCH_NAMES[kind]
    for kind in (
        *(gguf.MODEL_ARCH.MMPROJ, gguf.MODEL_ARCH.WAVTOKENIZER_DEC, gguf.MODEL_ARCH.T5ENCODER),
        *(gguf.MODEL_ARCH.MODERN_BERT, gguf.MODEL_ARCH.NEO_BERT, gguf.MODEL_ARCH.EUROBERT),
        *(gguf.MODEL_ARCH.NOMIC_BERT_MOE, gguf.MODEL_ARCH.JINA_BERT_V3),
        *(gguf.MODEL_ARCH.GEMMA_EMBEDDING, gguf.MODEL_ARCH.LLAMA_EMBED),
    )
}
"""Architectures of other models than those that generate text; those of images are `clip`."""
_POOLING = {
    gguf.PoolingType.CLS: Pooling.CLS,
    gguf.PoolingType.MEAN: Pooling.MEAN,
    gguf.PoolingType.LAST: Pooling.LAST_TOKEN,
}


_NOT_KNOWN = (
    "a GGUF file states no prompts, and no limit of tokens but the model's positions: if the "
    "model's card has any, give them by --prompt NAME=TEXT and --max-input-tokens N"
)


def open_gguf(opening: Opening) -> ModelSource:
    """Read a GGUF file of any quantisation.

    GGUF says nothing of normalisation, so that vectors are normalised by the rule for all sources,
    unless the file was made here of a model whose vectors are not.

    Raises:
        ExportError: the file is damaged, is no embedding model, or lacks something.
    """
    path = opening.path
    file = GgufFile(path)
    _check_purpose(file)
    architecture_of_gguf(file.architecture).check(file)
    facts, notes = _facts(file, opening.options)
    normalize, said = normalization(
        opening.options.normalize,
        stated=None,
        keeps_lengths=file.optional(NORMALIZE_KEY) is False,
    )
    facts, notes = replace(facts, normalize=normalize), (*notes, *said)
    for note in notes:
        opening.progress(note)
    check_length(file, facts)
    dimensions, vocabulary_size = sizes(file)
    tokenizer = tokenizer_of_gguf(file)
    if tokenizer.get_vocab_size() != vocabulary_size:
        raise ExportError(
            f"{path} has {tokenizer.get_vocab_size()} tokens, but vectors for {vocabulary_size}."
        )
    check_vocabulary(file, tokenizer)
    notes += compare_with_llama_cpp(tokenizer, path, opening.progress)
    precision = file.precision
    return ModelSource(
        facts=facts,
        architecture=file.architecture,
        dimensions=dimensions,
        vocabulary_size=vocabulary_size,
        tokenizer_json=tokenizer.to_str(),
        weights_sha256=sha256_of(path),
        default_gguf=(precision,),
        default_onnx=("q8_0",) if precision == "q8_0" else ("fp32",),
        gguf={precision: path},
        notes=notes,
    )


def _facts(file: GgufFile, options: ExportOptions) -> tuple[Facts, tuple[str, ...]]:
    """What the file says, what is known of a published model, and a note that says so."""
    stated = file.optional("general.name")
    pooling = _pooling_type(file)
    known = known_model(file)
    limit = None if known is None else known[1].max_input_tokens
    facts = Facts(
        name=stated if stated and isinstance(stated, str) else file.path.stem,
        pooling=None if pooling is None else _POOLING.get(pooling),
        normalize=True,
        max_input_tokens=min(limit or file.context_length, file.context_length),
        prompts={} if known is None else known[1].prompts,
    ).changed_by(options)
    if known is None:
        given = options.prompts is not None and options.max_input_tokens is not None
        return facts, () if given else (_NOT_KNOWN,)
    prompts = ", ".join(facts.prompts) or "none"
    note = (
        f"taken for the published {known[0]}: at most {facts.max_input_tokens} tokens an input "
        f"(the file has positions for {file.context_length}), prompts: {prompts}; "
        "--max-input-tokens and --prompt change that"
    )
    return facts, (note,)


def _check_purpose(file: GgufFile) -> None:
    try:
        architecture_of_gguf(file.architecture)
    except UnsupportedArchitectureError as exc:
        raise UnsupportedArchitectureError(
            architecture=exc.architecture, supported=exc.supported, advice=_advice(file)
        ) from exc
    if _pooling_type(file) == gguf.PoolingType.RANK:
        raise ExportError(f"{file.path} ranks pairs of texts: it is not an embedding model.")


def _advice(file: GgufFile) -> str:
    if _pooling_type(file) is not None:
        return "Take a checkpoint of the model as the source: those may go through optimum."
    known = file.architecture in gguf.MODEL_ARCH_NAMES.values()
    if known and file.architecture not in _NO_GENERATORS:
        return (
            "The file states no pooling, so it is a model that generates text; "
            "take an embedding model."
        )
    return "The file states no pooling, as that of an embedding model does; take one of those."


def _pooling_type(file: GgufFile) -> gguf.PoolingType | None:
    """What the file states; None if nothing, or a number that stands for no pooling."""
    stated = file.optional(f"{file.architecture}.pooling_type")
    return gguf.PoolingType(stated) if stated in list(gguf.PoolingType) else None
