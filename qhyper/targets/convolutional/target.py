"""ConvolutionalTarget: convolutional networks as a target; a draw's bits are binary kernels.

Either all kernels of a network are open, whose units are signs of sums, or some of a network that
was trained before: its real parts and thresholds stay as they are.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from qhyper.arrays import as_number, is_whole
from qhyper.bits import Bits, as_bits
from qhyper.data.samples import Dataset, Samples, check_classes
from qhyper.errors import ConfigurationError
from qhyper.targets.convolutional.network import ConvolutionalNetwork
from qhyper.targets.convolutional.objective import ConvolutionalObjective, ConvolutionalRows
from qhyper.targets.convolutional.open_kernels import OpenKernels, binary_places
from qhyper.targets.convolutional.steps import (
    Affine,
    BinaryConvolution,
    Convolution,
    MaxPool,
    Shape,
    Step,
    Threshold,
)
from qhyper.targets.layout import Layout
from qhyper.targets.loss import LossName, check_loss

if TYPE_CHECKING:
    import torch

_PIXEL = 128.0
"""Features of images are (v - 127.5) / 128, of pixels v from 0 to 255."""


class ConvolutionalTarget:
    """Networks of these steps, with the binary kernels at the places `free` left to the draws.

    Made by `convolutional` for a data set, or by `from_network` of a trained network. Block k of
    the layout, "k.weight" [out, in, row, column], is the free kernel that comes k-th. `scale`
    divides the outputs before the loss. `sees` says what the features of a data set are: "pixels",
    (v - 127.5) / 128 of the whole pixels v that the network takes; or "features", whatever the
    first step makes of pixels, which is left out then. Raises ConfigurationError as OpenKernels,
    and unless scale is at least 0.01.
    """

    usual_held_out = 1 / 6
    """share of the training rows on which networks are chosen, and not trained, unless told"""

    def __init__(
        self,
        network: ConvolutionalNetwork,
        *,
        free: Sequence[str | int],
        scale: float = 1.0,
        sees: Literal["pixels", "features"] = "pixels",
    ) -> None:
        if not 0.01 <= as_number(scale) < np.inf:
            raise ConfigurationError(
                f"scale divides the outputs: a finite number of at least 0.01; got {scale!r}."
            )
        self.network, self.scale, self.sees = network, float(scale), sees
        self.kernels = OpenKernels(network, free)

    @classmethod
    def from_network(
        cls,
        network: ConvolutionalNetwork,
        *,
        free: Sequence[str | int] | None = None,
        scale: float = 1.0,
    ) -> "ConvolutionalTarget":
        """A trained network with the binary kernels at the places `free` open; None: all of them.

        A place is the number of a step, or such as "4.body.1" in a residual. What the network
        learned there is `own_bits`. Raises ConfigurationError for places without a binary kernel.
        """
        if not isinstance(network, ConvolutionalNetwork):
            raise ConfigurationError(
                f"Got a network of the type {type(network).__name__}; expected a "
                "ConvolutionalNetwork. Make one of a torch module by its from_torch."
            )
        return cls(
            network, free=binary_places(network.steps) if free is None else free, scale=scale
        )

    @property
    def n_bits(self) -> int:
        """Number of weights that are free."""
        return self.layout.n_bits

    @property
    def layout(self) -> Layout:
        """The kernels, [out, in, row, column]."""
        return self.kernels.layout

    @property
    def own_bits(self) -> Bits:
        """The bits [n_bits] of the network that the target was made from."""
        return self.kernels.own_bits

    def __repr__(self) -> str:
        image = "×".join(map(str, self.network.image))
        kernels = ", ".join("×".join(map(str, shape)) for shape in self.kernels.shapes)
        return f"ConvolutionalTarget({image} to {self.network.classes}, kernels {kernels})"

    def check(self, data: Samples) -> None:
        """Raise ConfigurationError unless `data` fit the images and the classes."""
        (channels, rows, columns), features = self.network.image, data.x.shape[1]
        if features != channels * rows * columns:
            raise ConfigurationError(
                f"The data have {features} features, but the network takes images of "
                f"{channels}×{rows}×{columns}. Choose the option image=(channels, rows, columns), "
                "or other data."
            )
        check_classes(data)
        if self.network.classes < 2 or data.y.max() >= self.network.classes:
            raise ConfigurationError(
                f"The data have {data.y.max() + 1} classes, but the network has "
                f"{self.network.classes} outputs: one is needed for each class, two at least."
            )

    def objective(
        self, data: Samples, loss: LossName | str = "cross_entropy"
    ) -> ConvolutionalObjective:
        """The mean loss of draws over `data`.

        Raises ConfigurationError if they do not fit, and for features that are no pixels where the
        target `sees` pixels.
        """
        rows = self._rows(data, check_loss(loss))
        return ConvolutionalObjective(
            rows, str(self), self._rows, packed=self.sees == "pixels" or _are_pixels(data)
        )

    def to_packed(self, bits: npt.ArrayLike) -> ConvolutionalNetwork:
        """The network of one draw, bits [n_bits], which can be saved and asked for predictions.

        It takes pixels, whatever the features of the target's data were. Raises ConfigurationError
        for bits of another shape.
        """
        array = as_bits(bits, self.n_bits)
        if array.ndim != 1:
            raise ConfigurationError(
                f"Got bits of shape {array.shape}; expected one draw [n_bits], such as bits[0]."
            )
        return replace(self.network, steps=self.kernels.steps(array))

    def to_torch(self, bits: npt.ArrayLike) -> "torch.nn.Sequential":
        """The network of one draw, bits [n_bits], as a torch module of pixels, in float64."""
        return self.to_packed(bits).to_torch()

    def _rows(self, data: Samples, loss: LossName) -> ConvolutionalRows:
        """Rows with what comes before the first free kernel done, unless that takes much memory."""
        self.check(data)
        x, start = data.x, 1  # without what makes features of pixels
        if self.sees == "pixels":
            if not _are_pixels(data):
                raise ConfigurationError(
                    f"Got features from {x.min():g} to {x.max():g}; the network takes whole pixels "
                    "v from 0 to 255, features (v - 127.5) / 128. Load images with "
                    "pixels='signed', in their own size."
                )
            x, start = x * _PIXEL + 127.5, 0
        x = x.reshape(-1, *self.network.image)
        return ConvolutionalRows(self.kernels, self.scale, x, start, data.y, loss).prepared()


def convolutional(
    dataset: Dataset,
    *,
    image: Sequence[int] | None = None,
    channels: Sequence[int] = (16, 16),
    kernel: int = 3,
    pool: int = 2,
    scale: float = 4.0,
) -> ConvolutionalTarget:
    """The target `convolutional`: for the images of a data set, kernels of -1 and +1 throughout.

    - image: (channels, rows, columns); unless told those of a square of one channel, or of three
    - channels: of the hidden layers, each a convolution whose image keeps its size, the maximum of
      windows, and the sign of that, +1 from 0 up
    - kernel, pool: rows and columns of kernels, an odd number, and of windows, which do not overlap
      and are no larger than what is left of the image
    - scale: by which the sums of the last layer, which is dense, are divided before the loss

    Raises ConfigurationError for images that are none, and for layers that cannot be.
    """
    shape = _image(dataset.n_features, image)
    sizes = tuple(channels) if isinstance(channels, Sequence) else ()
    if not sizes or not all(is_whole(size, at_least=1) for size in sizes):
        raise ConfigurationError(
            f"Got channels={channels!r}; expected one whole number or more, such as (16, 16)."
        )
    if not is_whole(kernel, at_least=1) or kernel % 2 == 0 or not is_whole(pool, at_least=1):
        raise ConfigurationError(
            f"Got kernel={kernel!r} and pool={pool!r}; expected an odd whole number, and one of 1 "
            "or more, such as 3 and 2."
        )
    pixels = np.full(shape[0], 1 / _PIXEL), np.full(shape[0], -127.5 / _PIXEL)
    steps: list[Step] = [Affine(*pixels)]
    free: list[str] = []
    (n_in, rows, columns), padding = shape, kernel // 2
    for size in sizes:
        free.append(str(len(steps)))
        bits = np.zeros((size, n_in, kernel, kernel), np.uint8)
        first = Convolution(2 * bits.astype(np.float64) - 1, padding=(padding, padding))
        later = BinaryConvolution(bits, padding=(padding, padding))
        steps.append(first if len(free) == 1 else later)
        windows = min(pool, rows), min(pool, columns)
        steps += [MaxPool(windows, windows)] if pool > 1 else []
        steps.append(Threshold(np.zeros(size), np.ones(size, bool)))
        n_in, rows, columns = size, rows // windows[0], columns // windows[1]
    free.append(str(len(steps)))
    last = np.zeros((dataset.n_classes, n_in, rows, columns), np.uint8)
    steps.append(BinaryConvolution(last))
    return ConvolutionalTarget(
        ConvolutionalNetwork(shape, tuple(steps)), free=free, scale=scale, sees="features"
    )


def _image(features: int, image: Sequence[int] | None) -> Shape:
    """The shape of images of so many features."""
    if image is not None:
        sizes: list[int] = list(image) if isinstance(image, Sequence) else []
        whole = len(sizes) == 3 and all(is_whole(size, at_least=1) for size in sizes)
        if not whole or math.prod(sizes) != features:
            raise ConfigurationError(
                f"Got image={image!r} for {features} features; expected (channels, rows, columns) "
                "with as many pixels, such as (3, 32, 32) for 3,072."
            )
        channels, rows, columns = sizes
        return channels, rows, columns
    for channels in (1, 3):
        side = math.isqrt(features // channels)
        if channels * side**2 == features:
            return channels, side, side
    raise ConfigurationError(
        f"The data have {features} features, which are no square image of one channel or three. "
        "Say image=(channels, rows, columns)."
    )


def _are_pixels(data: Samples) -> bool:
    pixels = data.x * _PIXEL + 127.5
    return bool((pixels == np.rint(pixels)).all() and pixels.min() >= 0 and pixels.max() <= 255)
