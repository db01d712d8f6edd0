"""A batch as the flat arrays of llama.cpp's `llama_batch`."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

import numpy as np

from engine.errors import BackendError
from engine.types import Batch, IntArray

_Int32Pointer = ctypes.POINTER(ctypes.c_int32)


@dataclass(frozen=True, slots=True)
class RunLimits:
    """What one run may hold. llama.cpp ends the process where a batch is larger."""

    max_sequences: int
    max_input_tokens: int
    """Most tokens of one sequence."""
    max_tokens: int
    """Most tokens of all sequences."""

    def check(self, batch: Batch) -> None:
        """Refuse a batch that does not fit.

        Raises:
            BackendError: the batch or a sequence is empty or too large.
        """
        lengths = [encoding.tokens for encoding in batch.encodings]
        if not lengths or min(lengths) < 1:
            raise BackendError("A batch needs sequences, and a sequence needs tokens.")
        for what, size, limit in (
            ("sequences", len(lengths), self.max_sequences),
            ("tokens in one sequence", max(lengths), self.max_input_tokens),
            ("tokens", sum(lengths), self.max_tokens),
        ):
            if size > limit:
                raise BackendError(f"The batch has {size} {what}; at most {limit} fit.")


class FlatBatch:
    """Arrays over all N tokens of a batch, and pointers that are valid as long as it lives.

    The id of a sequence is its row in the batch. Every token is an output, as pooling needs.
    """

    def __init__(self, batch: Batch) -> None:
        lengths = np.array([encoding.tokens for encoding in batch.encodings])
        starts = np.repeat(np.cumsum(lengths) - lengths, lengths)
        rows = np.arange(len(lengths), dtype=np.int32)
        self.tokens = int(lengths.sum())
        ids = np.concatenate([encoding.input_ids for encoding in batch.encodings], dtype=np.int32)
        positions = (np.arange(self.tokens) - starts).astype(np.int32)
        sequence_counts = np.ones(self.tokens, dtype=np.int32)
        row_addresses = rows.ctypes.data + rows.astype(np.uintp) * rows.itemsize
        sequences = np.repeat(row_addresses, lengths)
        outputs = np.ones(self.tokens, dtype=np.int8)
        self._arrays = (rows, ids, positions, sequence_counts, sequences, outputs)
        self.ids = pointer(ids)
        self.positions = pointer(positions)
        self.sequence_counts = pointer(sequence_counts)
        self.sequences = sequences.ctypes.data_as(ctypes.POINTER(_Int32Pointer))
        self.outputs = outputs.ctypes.data_as(ctypes.POINTER(ctypes.c_int8))


def pointer(array: IntArray) -> ctypes._Pointer[ctypes.c_int32]:
    """Pointer to the first element of an array, which must outlive it."""
    return array.ctypes.data_as(_Int32Pointer)
