"""Builds an ONNX graph node by node, with its large weights in one file beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, TypeAlias

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Shape: TypeAlias = Sequence[str | int]
Attribute: TypeAlias = int | float | str | Sequence[int]

FUSED = "com.microsoft"
"""Domain of ONNX Runtime's fused operators."""
_OPSET = 20
_IR_VERSION = 9
_INLINE_BYTES = 1024
_PAGE_BYTES = 4096


@dataclass(eq=False)
class Graph:
    """A graph under construction. Weights go to `data`, page-aligned so that they can be mapped."""

    data: BinaryIO
    data_name: str
    _nodes: list[onnx.NodeProto] = field(default_factory=list)
    _weights: list[TensorProto] = field(default_factory=list)

    def weight(self, name: str, values: NDArray[np.generic]) -> str:
        """Add a constant; from 1 KB on it goes to the data file."""
        contiguous = np.ascontiguousarray(values)
        if contiguous.nbytes < _INLINE_BYTES:
            self._weights.append(numpy_helper.from_array(contiguous, name))
        else:
            self._weights.append(self._external(name, contiguous))
        return name

    def node(
        self,
        operator: str,
        inputs: Sequence[str],
        output: str,
        *,
        domain: str = "",
        more_outputs: Sequence[str] = (),
        attributes: Mapping[str, Attribute] | None = None,
    ) -> str:
        """Add a node named after its first output, and return that output."""
        self._nodes.append(
            helper.make_node(
                operator,
                list(inputs),
                [output, *more_outputs],
                name=output,
                domain=domain,
                **(attributes or {}),
            )
        )
        return output

    def save(
        self,
        path: Path,
        *,
        name: str,
        inputs: Mapping[str, tuple[int, Shape]],
        outputs: Mapping[str, tuple[int, Shape]],
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        """Write the graph. Inputs and outputs map a name to its element type and shape.

        `metadata` is what the file says of itself.
        """
        graph = helper.make_graph(
            self._nodes, name, _value_infos(inputs), _value_infos(outputs), self._weights
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", _OPSET), helper.make_opsetid(FUSED, 1)],
            ir_version=_IR_VERSION,
            producer_name="embellama",
        )
        helper.set_model_props(model, dict(metadata or {}))
        path.write_bytes(model.SerializeToString())

    def _external(self, name: str, values: NDArray[np.generic]) -> TensorProto:
        self.data.write(b"\0" * (-self.data.tell() % _PAGE_BYTES))
        offset = self.data.tell()
        self.data.write(values.data)
        tensor = TensorProto(
            name=name,
            data_type=helper.np_dtype_to_tensor_dtype(values.dtype),
            dims=values.shape,
            data_location=TensorProto.EXTERNAL,
        )
        where = {"location": self.data_name, "offset": offset, "length": values.nbytes}
        for key, value in where.items():
            tensor.external_data.add(key=key, value=str(value))
        return tensor


def _value_infos(values: Mapping[str, tuple[int, Shape]]) -> list[onnx.ValueInfoProto]:
    return [
        helper.make_tensor_value_info(name, element_type, list(shape))
        for name, (element_type, shape) in values.items()
    ]
