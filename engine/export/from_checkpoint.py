"""A Hugging Face checkpoint as a source: a float32 GGUF file is written first."""

from __future__ import annotations

import json

from engine.errors import ExportError, UnsupportedArchitectureError
from engine.export.architectures import (
    architecture_of_checkpoint,
    architecture_of_gguf,
    checkpoint_types,
)
from engine.export.checkpoint import Checkpoint
from engine.export.gguf_file import GgufFile
from engine.export.gguf_tokenizer import tokenizer_of_gguf
from engine.export.gguf_writer import write_gguf
from engine.export.model_source import ModelSource, Opening, check_length, sizes
from engine.export.normalization import normalization
from engine.export.options import Facts
from engine.export.padding import check_padding
from engine.export.tokenizer_check import difference_to_own
from engine.export.weights import weights_sha256
from engine.model_files import MAX_JSON_BYTES, read_bounded

_GENERATORS = ("ForCausalLM", "ForConditionalGeneration", "LMHeadModel")
"""Ends of the classes of Hugging Face that do so."""


def facts_of(checkpoint: Checkpoint, opening: Opening) -> Facts:
    """What a directory says of its model, with the given options in its place.

    Raises:
        ExportError: they contradict each other.
    """
    normalize, notes = normalization(
        opening.options.normalize, stated=checkpoint.normalize, similarity=checkpoint.similarity
    )
    if checkpoint.default_dimensions is not None and not normalize:
        raise ExportError(
            f"{checkpoint.directory} asks for truncate_dim={checkpoint.default_dimensions} of "
            "vectors that are not normalised; a cut is always normalised here. Give --normalize, "
            "or take truncate_dim out of a copy."
        )
    notes = (*checkpoint.notes, *notes)
    for note in notes:
        opening.progress(note)
    return Facts(
        name=opening.path.resolve().name,
        pooling=checkpoint.pooling,
        normalize=normalize,
        max_input_tokens=checkpoint.max_input_tokens,
        prompts=checkpoint.prompts,
        default_prompt_name=checkpoint.default_prompt_name,
        matryoshka_dimensions=checkpoint.matryoshka_dimensions,
        default_dimensions=checkpoint.default_dimensions,
        notes=notes,
    ).changed_by(opening.options)


def open_checkpoint(opening: Opening) -> ModelSource:
    """Read a checkpoint; architectures without an exporter here go through optimum.

    Raises:
        UnsupportedArchitectureError: no exporter knows it, and optimum is not installed; or it
            generates text.
        ExportError: the checkpoint can't be honoured.
    """
    _check_purpose(opening)
    checkpoint = Checkpoint.open(opening.path)
    facts = facts_of(checkpoint, opening)
    try:
        architecture_of_checkpoint(checkpoint.model_type)
    except UnsupportedArchitectureError as exc:
        from engine.export.optimum_export import open_with_optimum

        return open_with_optimum(checkpoint, facts, opening, exc)
    check_padding(checkpoint)
    opening.progress("reading the checkpoint's weights ...")
    master = opening.work / "checkpoint.gguf"
    write_gguf(
        checkpoint,
        master,
        name=facts.name,
        pooling=facts.required_pooling,
        normalize=facts.normalize,
    )
    file = GgufFile(master)
    architecture_of_gguf(file.architecture).check(file)
    check_length(file, facts)
    dimensions, vocabulary_size = sizes(file)
    return ModelSource(
        facts=facts,
        architecture=file.architecture,
        dimensions=dimensions,
        vocabulary_size=vocabulary_size,
        tokenizer_json=checkpoint.tokenizer_json,
        weights_sha256=weights_sha256(checkpoint.weights),
        default_gguf=("f32",),
        default_onnx=("fp32",),
        gguf={"f32": master},
        notes=(
            *facts.notes,
            *difference_to_own(tokenizer_of_gguf(file), checkpoint.tokenizer_json),
        ),
    )


def _check_purpose(opening: Opening) -> None:
    """Refuse what generates text, unless anything says how to make vectors with it."""
    try:
        config = dict(json.loads(read_bounded(opening.path / "config.json", MAX_JSON_BYTES)))
    except (OSError, ValueError, TypeError, RecursionError):
        return  # It is told when the whole checkpoint is read.
    stated = config.get("architectures")
    kinds = [str(kind) for kind in stated] if isinstance(stated, list) else []
    generates = any(kind.endswith(_GENERATORS) for kind in kinds)
    is_for_vectors = opening.options.pooling or (opening.path / "modules.json").is_file()
    if not generates or is_for_vectors:
        return
    from engine.export.optimum_export import is_installed

    model_type = str(config.get("model_type"))
    is_supported = model_type in checkpoint_types()
    reason = (
        f"{kinds[0]} is a model that generates text, and nothing says how to embed with it; "
        "take an embedding model"
    )
    if is_supported or is_installed():
        reason += ", or make a bundle by embellama export with --pooling and serve that"
    if is_supported:
        raise ExportError(f"{opening.path}: {reason}.")
    raise UnsupportedArchitectureError(
        architecture=model_type, supported=checkpoint_types(), advice=f"{reason}."
    )
