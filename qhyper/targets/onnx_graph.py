"""The graph of an ONNX file, as it is put together: nodes, numbers, and bits that stay packed."""

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from qhyper.bits import Bits

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

_OPSET, _IR = 17, 8
"""Of ONNX 1.12 (2022): old enough for most runtimes, and all that is used takes its type."""
EXACT = 2**24
"""Whole numbers up to this are exact in float32."""


class End(NamedTuple):
    """An input or output of a file: its axes are numbers, or names where any number will do."""

    name: str
    dtype: npt.DTypeLike
    shape: tuple[int | str, ...]


class Graph:
    """The nodes of a network, as they are added, and the numbers that they take.

    Every method that adds a node returns the name of what it gives.
    """

    def __init__(self) -> None:
        self._nodes: list[NodeProto] = []
        self._numbers: dict[str, npt.NDArray] = {}

    def node(self, kind: str, inputs: list[str], output: str = "", **options: Any) -> str:
        """An operator of ONNX."""
        from onnx import helper

        output = output or f"{kind}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, inputs, [output], name=output, **options))
        return output

    def constant(self, numbers: npt.ArrayLike, dtype: Any = np.float64) -> str:
        """Numbers that are stored in the file."""
        name = f"numbers_{len(self._numbers)}"
        self._numbers[name] = np.array(numbers, dtype)
        return name

    def cast(self, at: str, dtype: Any, output: str = "") -> str:
        """The same numbers in another type."""
        from onnx import helper

        kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        return self.node("Cast", [at], output, to=kind)

    def reshape(self, at: str, shape: npt.ArrayLike) -> str:
        """The same numbers in another shape, of which 0 keeps an axis and -1 is what is left."""
        return self.node("Reshape", [at, self.constant(shape, np.int64)])

    def signs(self, bits: Bits, dtype: Any = np.float32) -> str:
        """-1 and +1 for bits [...], which are stored eight to a byte and unpacked in the graph.

        A runtime does that once, when it loads the file.
        """
        octets = np.packbits(bits, axis=None, bitorder="little")
        stored, places = self.constant(octets[:, None], np.uint8), self.constant(range(8), np.uint8)
        shifted = self.node("BitShift", [stored, places], direction="RIGHT")
        flat = self.reshape(self.node("Mod", [shifted, self.constant(2, np.uint8)]), [-1])
        ends = [self.constant([n], np.int64) for n in (0, bits.size)]
        return self.as_signs(self.reshape(self.node("Slice", [flat, *ends]), bits.shape), dtype)

    def as_signs(self, bits: str, dtype: Any = np.float32) -> str:
        """-1 and +1 for bits, or for what is true."""
        plus = self.cast(bits, bool)
        one, minus = self.constant(1, dtype), self.constant(-1, dtype)
        return self.node("Where", [plus, one, minus])

    def model(self, given: End, found: End) -> "ModelProto":
        """The whole file: from its input to its output."""
        from onnx import helper, numpy_helper

        ends = [
            helper.make_tensor_value_info(
                end.name, helper.np_dtype_to_tensor_dtype(np.dtype(end.dtype)), end.shape
            )
            for end in (given, found)
        ]
        constants = [numpy_helper.from_array(a, name) for name, a in self._numbers.items()]
        return helper.make_model(
            helper.make_graph(self._nodes, "network", ends[:1], ends[1:], constants),
            producer_name="qhyper",
            opset_imports=[helper.make_opsetid("", _OPSET)],
            ir_version=_IR,
        )
