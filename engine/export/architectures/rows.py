"""Several sequences in one row: each attends to itself only, and counts its own positions.

`attention_mask` tells them apart: a token of a sequence that starts at token s of the row has the
number s + 1 there, and padding 0. So a mask of ones and zeros means what it always does.
"""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, helper

from engine.export.graph import Graph

SCOPE = "scope"
"""What `attention_scope` returns."""
POSITIONS = "positions"
"""What `positions` returns."""


def attention_scope(graph: Graph) -> str:
    """Nodes of what each token attends to: (B, T, T) int32, 1 where both are of one sequence."""
    row_axis = graph.weight("row_axis", np.array([1], np.int64))
    last_axis = graph.weight("last_axis", np.array([-1], np.int64))
    ours = graph.node("Unsqueeze", ["attention_mask", last_axis], "sequence_of_query")
    theirs = graph.node("Unsqueeze", ["attention_mask", row_axis], "sequence_of_key")
    same = graph.node("Equal", [ours, theirs], "same_sequence")
    return graph.node("Cast", [same], SCOPE, attributes={"to": int(TensorProto.INT32)})


def positions(graph: Graph, most: int, element_type: int) -> str:
    """Nodes of each token's position in its sequence, from 0: (B, T). A row has `most` at most."""
    dtype = helper.tensor_dtype_to_np_dtype(element_type)
    ordinals = graph.weight("ordinals", np.arange(1, most + 1, dtype=dtype))
    first = graph.weight("first_ordinal", np.array([0], np.int64))
    length = graph.node("Shape", ["attention_mask"], "row_length", attributes={"start": 1})
    here = graph.node("Slice", [ordinals, first, length], "ordinals_in_row")
    numbers = graph.node("Cast", ["attention_mask"], "numbers", attributes={"to": element_type})
    starts = graph.node(
        "Max", [numbers, graph.weight("first_number", np.array([1], dtype))], "starts"
    )
    return graph.node("Sub", [here, starts], POSITIONS)
