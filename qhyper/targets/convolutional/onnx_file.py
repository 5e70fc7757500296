"""A convolutional network as an ONNX file, which other runtimes run.

The runtime of ONNX for CPUs has convolutions and average pooling of float32 alone. Sums of -1 and
+1 are exact there below 2^24, so that binary convolutions are its own, of signs in float32. (A
runtime that transforms images first, as Winograd's convolution does, would round.) All else stays
float64, as limits and predictions are: a real convolution is a matrix product with what its windows
see, gathered, and so is the mean of windows. Weights -1 and +1 are stored in one bit each.
"""

from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import numpy.typing as npt

from qhyper.errors import ConfigurationError
from qhyper.machine import needs
from qhyper.storage import check_new, write_whole
from qhyper.targets.convolutional.steps import (
    Affine,
    AvgPool,
    BinaryConvolution,
    Clamp,
    Convolution,
    MaxPool,
    Pair,
    Scale,
    Step,
    Threshold,
    Values,
)
from qhyper.targets.onnx_graph import EXACT, End, Graph

if TYPE_CHECKING:
    from onnx import ModelProto

    from qhyper.targets.convolutional.torch_module import Convolutional

_IMAGES = 8
"""Random images that outputs are compared on: the reference evaluator is slow."""


def to_onnx(network: "Convolutional", path: Path | str) -> None:
    """Write a network to a new ONNX file.

    Its input `pixels` is uint8 [image, channel, row, column] and its output `outputs` float64
    [image, class], of any number of images. Batch normalisation that is not before a sign rounds
    its product and its sum one after the other, and real sums are added in an order of the
    runtime's own: outputs differ in their last digits from `network.outputs`, and ties of the signs
    of real numbers may.

    Raises ConfigurationError if a binary convolution adds up more than 2^24 numbers, and if outputs
    by ONNX's reference are not those of the network on random images; StorageError if the file is
    there already, or cannot be written; MissingError without the extra `onnx`.
    """
    with needs("onnx", "An ONNX file"):
        from onnx import checker
        from onnx.reference import ReferenceEvaluator
    from qhyper.targets.conversion import check_same
    from qhyper.targets.convolutional.agreement import random_images, tied_images
    from qhyper.targets.convolutional.torch_module import to_torch

    path = Path(path)
    check_new(path)
    model = _Graph().whole(network)
    checker.check_model(model, full_check=True)
    pixels = random_images(network.image, network.steps)[:_IMAGES]
    (found,) = cast(list[npt.NDArray], ReferenceEvaluator(model).run(None, {"pixels": pixels}))
    check_same(
        "The ONNX file", found, network.outputs(pixels).astype(np.float64),
        lambda: tied_images(to_torch(network), pixels, affine=True), rows="images",
    )  # fmt: skip
    write_whole(path, model.SerializeToString())


class _Graph(Graph):
    """The graph of a convolutional network."""

    def whole(self, network: "Convolutional") -> "ModelProto":
        """The file of the network."""
        values = Values("real", network.image)
        at = self.cast("pixels", np.float64)
        for step in network.steps:
            at, values = self._step(step, at, values)
        self.node("Flatten", [at], "outputs")
        return self.model(
            End("pixels", np.uint8, ("image", *network.image)),
            End("outputs", np.float64, ("image", values.shape[0])),
        )

    def _per_channel(self, numbers: npt.ArrayLike) -> str:
        return self.constant(np.reshape(numbers, (-1, 1, 1)))

    def _step(self, step: Step, at: str, values: Values) -> tuple[str, Values]:
        """The nodes of a step on `at`: signs in float32, all else in float64."""
        after = step.after(values)
        if values.kind == "bits" and isinstance(step, Convolution | AvgPool):
            at = self.cast(at, np.float64)
        if isinstance(step, Convolution):
            at = self._convolution(step, at, values, after)
        elif isinstance(step, BinaryConvolution):
            at = self._binary(step, at)
        elif isinstance(step, Threshold):
            at = self._threshold(step, at)
        elif isinstance(step, Affine):
            product = self.node("Mul", [at, self._per_channel(step.scale)])
            at = self.node("Add", [product, self._per_channel(step.shift)])
        elif isinstance(step, Scale):
            at = self.node("Mul", [at, self._per_channel(step.factor)])
        elif isinstance(step, Clamp):
            at = self.node("Clip", [at, self.constant(step.low), self.constant(step.high)])
        elif isinstance(step, MaxPool):
            outside = np.float32(-1) if values.kind == "bits" else np.float64(-np.inf)
            at = self._pad(at, step.padding, outside)
            at = self.node("MaxPool", [at], kernel_shape=step.kernel, strides=step.stride)
        elif isinstance(step, AvgPool):
            means = self.node("ReduceMean", [self._seen(step, at, values)], axes=[2], keepdims=0)
            at = self._reshape(means, after.shape)
        else:
            ends = []
            for way in (step.body, step.shortcut):
                end, between = at, values
                for one in way:
                    end, between = self._step(one, end, between)
                ends.append(end)
            at = self.node("Add", ends)
        return at, after

    def _convolution(self, step: Convolution, at: str, values: Values, after: Values) -> str:
        weight = step.weight.reshape(len(step.weight), -1)
        at = self._pad(at, step.padding, np.float64(0))
        seen = self._seen(step, at, values)
        seen = self._reshape(seen, (weight.shape[1], after.shape[1] * after.shape[2]))
        product = self.node("MatMul", [self.constant(weight), seen])
        at = self._reshape(product, after.shape)
        if step.bias is None:
            return at
        return self.node("Add", [at, self._per_channel(step.bias)])

    def _seen(self, step: Convolution | AvgPool, at: str, values: Values) -> str:
        """What every window sees, [image, channel, place in the window, window], once padded."""
        size = [n + 2 * p for n, p in zip(values.shape[1:], step.padding, strict=True)]
        flat = self._reshape(at, (values.shape[0], size[0] * size[1]))
        where = np.arange(size[0] * size[1]).reshape(size)
        windows = np.lib.stride_tricks.sliding_window_view(where, step.kernel)
        windows = windows[:: step.stride[0], :: step.stride[1]]
        places = windows.reshape(-1, step.kernel[0] * step.kernel[1]).T
        return self.node("Gather", [flat, self.constant(places, np.int32)], axis=2)

    def _binary(self, step: BinaryConvolution, at: str) -> str:
        if step.bits[0].size > EXACT:
            raise ConfigurationError(
                f"Got a binary convolution of {step.bits[0].size} inputs, whose sums an ONNX file "
                f"does not hold exactly; expected {EXACT} at the most. Take smaller kernels."
            )
        padding = step.padding
        if step.pad == "minus-one":
            at, padding = self._pad(at, padding, np.float32(-1)), (0, 0)
        sums = self.node(
            "Conv", [at, self.signs(step.bits)], strides=step.stride,
            pads=[*padding, *padding],
        )  # fmt: skip
        return self.cast(sums, np.float64)

    def _pad(self, at: str, padding: Pair, value: np.floating) -> str:
        if padding == (0, 0):
            return at
        around = self.constant([0, 0, *padding, 0, 0, *padding], np.int64)
        return self.node("Pad", [at, around, self.constant(value, value.dtype)])

    def _threshold(self, step: Threshold, at: str) -> str:
        """Signs, in float32, of what lies between a limit and infinity, or minus infinity."""
        low = np.where(step.above, step.limit, -np.inf)
        high = np.where(step.above, np.inf, step.limit)
        plus = self.node("GreaterOrEqual", [at, self._per_channel(low)])
        if not step.above.all():
            falls = self.node("LessOrEqual", [at, self._per_channel(high)])
            plus = self.node("And", [plus, falls])
        one, minus = self.constant(1, np.float32), self.constant(-1, np.float32)
        return self.node("Where", [plus, one, minus])

    def _reshape(self, at: str, shape: tuple[int, ...]) -> str:
        return self.node("Reshape", [at, self.constant([0, *shape], np.int64)])
