"""A packed network as an ONNX file, which other runtimes run: one bit for each weight.

Weights are stored as they are packed, and unpacked in the graph; sums are matrix products of -1 and
+1, exact in float32 below 2^24 and in float64 above.
"""

from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import numpy.typing as npt

from qhyper.bits import Bits
from qhyper.errors import ConfigurationError
from qhyper.machine import needs
from qhyper.storage import check_new, write_whole
from qhyper.targets.onnx_graph import EXACT, End, Graph
from qhyper.targets.packed.shape import Packed

if TYPE_CHECKING:
    from onnx import ModelProto

_ROWS = 32
"""Random rows that outputs are compared on: the reference evaluator is slow."""


def to_onnx(network: Packed, path: Path | str) -> None:
    """Write a network to a new ONNX file, about as large as its own file.

    Its input `x` is [row, input] of any number of rows: bits 0 and 1, or whole numbers of `planes`
    bits, as uint8, or uint16 for more than 8 planes. Its output `outputs` is that of
    `network.outputs`, [row, class]: sums or votes int32, exactly; or scaled sums float64, whose
    product and sum are rounded one after the other, so that they may differ in the last digit. The
    class is the first of the largest.

    Raises ConfigurationError if outputs by ONNX's reference are not those of the network on random
    rows; StorageError if the file is there already, or cannot be written; MissingError without the
    extra `onnx`.
    """
    with needs("onnx", "An ONNX file"):
        from onnx import checker
        from onnx.reference import ReferenceEvaluator

    path = Path(path)
    check_new(path)
    model, takes = _model(network)
    checker.check_model(model, full_check=True)
    x = np.random.default_rng(0).integers(
        0, 1 << network.planes, (_ROWS, network.shape.layers[0]), dtype=takes
    )
    (found,) = cast(list[npt.NDArray], ReferenceEvaluator(model).run(None, {"x": x}))
    expected = network.outputs(x)
    if found.shape != expected.shape or (np.abs(found - expected) > _rounding(network)).any():
        raise ConfigurationError(
            "The ONNX file gives other outputs than the network on random rows. Install the tested "
            "version of the package onnx."
        )
    write_whole(path, model.SerializeToString())


def _rounding(network: Packed) -> float:
    """How far outputs may be from those of the network: products and sums are rounded each."""
    if network.scale is None or network.shift is None:
        return 0.0
    most = network.shape.matrices[-1][1] << network.planes
    return float(
        np.finfo(np.float64).eps
        * (most * np.abs(network.scale).max() + np.abs(network.shift).max())
    )


def _model(network: Packed) -> "tuple[ModelProto, npt.DTypeLike]":
    """The whole file, and the type of its input."""
    graph, at, unit = Graph(), "x", 0
    matrices = network.shape.unpack(network.words)
    for k, bits in enumerate(matrices):
        planes = 1 if k else network.planes
        dtype = np.float32 if bits.shape[1] << planes < EXACT else np.float64
        at = graph.as_signs(at, dtype) if planes == 1 else graph.cast(at, dtype)
        weights = graph.signs(np.ascontiguousarray(bits.T), dtype)
        at = graph.node("MatMul", [at, weights])
        if k < len(matrices) - 1 or network.label_bits is not None:
            limits = network.limits[unit : unit + len(bits)]
            unit += len(bits)
            least = graph.constant(_least(bits, planes, limits), dtype)
            at = graph.node("GreaterOrEqual", [at, least])
    gives = np.int32
    if network.label_bits is not None:
        grouped = graph.reshape(graph.cast(at, np.int32), [0, -1, network.label_bits])
        axes = graph.constant([2], np.int64)
        graph.node("ReduceSum", [grouped, axes], "outputs", keepdims=0)
    elif network.scale is None or network.shift is None:
        graph.cast(at, np.int32, "outputs")
    else:
        gives = np.float64
        product = graph.node("Mul", [graph.cast(at, gives), graph.constant(network.scale)])
        graph.node("Add", [product, graph.constant(network.shift)], "outputs")
    takes = np.uint8 if network.planes <= 8 else np.uint16
    classes = network.shape.layers[-1] // (network.label_bits or 1)
    ends = (
        End("x", takes, ("row", network.shape.layers[0])),
        End("outputs", gives, ("row", classes)),
    )
    return graph.model(*ends), takes


def _least(bits: Bits, planes: int, limits: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The least sum of a unit that is +1: where at most `limits` of its inputs differ."""
    if planes == 1:
        return bits.shape[1] - 2 * limits
    return ((1 << planes) - 1) * bits.sum(axis=1, dtype=np.int64) - limits
