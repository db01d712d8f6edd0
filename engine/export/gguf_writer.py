"""Checkpoint -> GGUF, in the form that llama.cpp loads."""

from __future__ import annotations

from pathlib import Path

import gguf

from engine.errors import ExportError
from engine.export.architectures import architecture_of_checkpoint
from engine.export.architectures.checks import number
from engine.export.checkpoint import Checkpoint
from engine.export.vocabulary import add_vocabulary, read_vocabulary
from engine.export.weights import CheckpointWeights
from engine.types import Pooling

_POOLING_TYPE = {
    Pooling.CLS: gguf.PoolingType.CLS,
    Pooling.MEAN: gguf.PoolingType.MEAN,
    Pooling.LAST_TOKEN: gguf.PoolingType.LAST,
}
_F32 = "f32"
NORMALIZE_KEY = "embellama.normalize"
"""False in a file whose model's vectors keep their length; else not there."""


def write_gguf(
    checkpoint: Checkpoint,
    path: Path,
    *,
    name: str,
    pooling: Pooling,
    normalize: bool = True,
    precision: str = _F32,
) -> None:
    """Write the checkpoint's weights, hyperparameters and vocabulary to a new GGUF file.

    GGUF has no key for vectors that are not normalised, which is rare, so they get one of ours.

    Raises:
        UnsupportedArchitectureError: no exporter knows the checkpoint's model type.
        ExportError: a tensor is missing or the precision is not known.
    """
    if precision != _F32:
        raise ExportError(f"A GGUF file of the precision {precision!r} can't be written.")
    architecture = architecture_of_checkpoint(checkpoint.model_type)
    weights = CheckpointWeights(checkpoint.weights)
    tensors = architecture.checkpoint_tensors(checkpoint.config, weights.names)
    size = number(checkpoint.config, "vocab_size")
    rows = weights.rows(tensors["token_embd.weight"].name)
    if size > rows:
        raise ExportError(f"config.json has vocab_size={size}, but there are vectors for {rows}.")
    vocabulary = read_vocabulary(checkpoint.tokenizer_json, size=size)
    writer = gguf.GGUFWriter(path, architecture.name)
    writer.add_type("model")
    writer.add_name(name)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_pooling_type(_POOLING_TYPE[pooling])
    if not normalize:
        writer.add_bool(NORMALIZE_KEY, normalize)
    architecture.add_hyperparameters(writer, checkpoint.config)
    add_vocabulary(writer, vocabulary)
    for tensor, source in tensors.items():
        writer.add_tensor(tensor, source.read(weights))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
