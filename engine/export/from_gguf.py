"""A GGUF file as a source: its weights stay what they are, its tokenizer is made anew."""

from __future__ import annotations

import gguf

from engine.errors import ExportError, UnsupportedArchitectureError
from engine.export.architectures import architecture_of_gguf
from engine.export.gguf_file import GgufFile
from engine.export.gguf_tokenizer import tokenizer_of_gguf
from engine.export.model_source import ModelSource, Opening, check_length, sizes
from engine.export.options import Facts
from engine.export.tokenizer_check import compare_with_llama_cpp
from engine.model import sha256_of
from engine.types import Pooling

_POOLING = {
    gguf.PoolingType.CLS: Pooling.CLS,
    gguf.PoolingType.MEAN: Pooling.MEAN,
    gguf.PoolingType.LAST: Pooling.LAST_TOKEN,
}


def open_gguf(opening: Opening) -> ModelSource:
    """Read a GGUF file of any quantisation.

    GGUF says nothing of normalisation; vectors are normalised unless an option says otherwise.

    Raises:
        ExportError: the file is damaged, is no embedding model, or lacks something.
    """
    path = opening.path
    file = GgufFile(path)
    _check_purpose(file)
    architecture_of_gguf(file.architecture).check(file)
    stated = file.optional("general.name")
    facts = Facts(
        name=stated if stated and isinstance(stated, str) else path.stem,
        pooling=None if (pooling := _pooling_type(file)) is None else _POOLING.get(pooling),
        normalize=True,
        max_input_tokens=file.context_length,
    ).changed_by(opening.options)
    check_length(file, facts)
    dimensions, vocabulary_size = sizes(file)
    tokenizer = tokenizer_of_gguf(file)
    if tokenizer.get_vocab_size() != vocabulary_size:
        raise ExportError(
            f"{path} has {tokenizer.get_vocab_size()} tokens, but vectors for {vocabulary_size}."
        )
    notes = compare_with_llama_cpp(tokenizer, path, opening.progress)
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


def _check_purpose(file: GgufFile) -> None:
    try:
        architecture_of_gguf(file.architecture)
    except UnsupportedArchitectureError as exc:
        pooling = _pooling_type(file)
        advice = "Take a checkpoint of the model as the source: those may go through optimum."
        if pooling is None:
            advice = (
                "The file states no pooling, so it is a model that generates text; "
                "take an embedding model."
            )
        raise UnsupportedArchitectureError(
            architecture=exc.architecture, supported=exc.supported, advice=advice
        ) from exc
    if _pooling_type(file) == gguf.PoolingType.RANK:
        raise ExportError(f"{file.path} ranks pairs of texts: it is not an embedding model.")


def _pooling_type(file: GgufFile) -> gguf.PoolingType | None:
    """What the file states; None if nothing, or a number that stands for no pooling."""
    stated = file.optional(f"{file.architecture}.pooling_type")
    return gguf.PoolingType(stated) if stated in list(gguf.PoolingType) else None
