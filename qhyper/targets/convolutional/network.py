"""One convolutional network of packed binary kernels: images in, classes out.

`steps` says what it is made of, `engine` what runs it, and `file` how it is stored. NumPy alone is
needed, but by `from_torch`, `to_torch` and `to_onnx`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from qhyper.arrays import as_array
from qhyper.data.images import checked_image
from qhyper.errors import ConfigurationError
from qhyper.targets.convolutional.bounds import largest_number
from qhyper.targets.convolutional.engine import prepared
from qhyper.targets.convolutional.steps import (
    BinaryConvolution,
    Residual,
    Shape,
    Step,
    Values,
    checked_steps,
    values_between,
)

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, eq=False, repr=False)
class ConvolutionalNetwork:
    """A network of `steps` on images of (channels, rows, columns), whose pixels are 0 to 255.

    What the first step gets are the pixels as numbers. The last one leaves one real number or sum
    for each class, of shape (class, 1, 1). Raises ConfigurationError, which names the step, if one
    does not fit what comes before it, or its numbers may overflow.
    """

    image: Shape
    steps: tuple[Step, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "image", checked_image(self.image))
        object.__setattr__(self, "steps", checked_steps(self.steps))
        last = self.values[-1]
        if last.kind == "bits" or last.shape[1:] != (1, 1):
            raise ConfigurationError(
                f"The network ends with {last}; expected one real number or sum for each class, "
                "(class, 1, 1). End it with a convolution whose kernel is the whole image, or pool."
            )
        largest_number(self.steps, 255.0, "In the network, ")

    def __repr__(self) -> str:
        image = "×".join(map(str, self.image))
        return f"ConvolutionalNetwork({image} to {self.classes} classes, {self.n_binary:,} bits)"

    @cached_property
    def values(self) -> list[Values]:
        """The values before the first step, and after each."""
        before = Values("real", self.image)
        return [before, *values_between(self.steps, before, "In the network, ")]

    @property
    def classes(self) -> int:
        """How many outputs there are."""
        return self.values[-1].shape[0]

    @cached_property
    def n_binary(self) -> int:
        """How many weights are bits."""
        steps = all_steps(self.steps)
        return sum(step.bits.size for step in steps if isinstance(step, BinaryConvolution))

    @cached_property
    def n_real(self) -> int:
        """How many numbers are real: weights, biases, limits, scales and shifts."""
        names = ("weight", "bias", "limit", "scale", "shift", "factor")
        arrays = (getattr(step, name, None) for step in all_steps(self.steps) for name in names)
        return sum(array.size for array in arrays if array is not None)

    @cached_property
    def n_bytes(self) -> int:
        """Bytes of its numbers: an eighth for a bit, four or eight for a real one, as in its file.

        Each threshold has a bit more, its direction.
        """
        from qhyper.targets.convolutional.file import n_bytes

        return n_bytes(self.steps)

    def outputs(self, pixels: npt.ArrayLike) -> npt.NDArray:
        """One number for each class, float64 or, of sums, int64: [image, class].

        `pixels` are whole numbers from 0 to 255, [image, pixel] channel by channel and row by row,
        or [image, channel, row, column]. Raises ConfigurationError for images of another size or
        number of channels, and other numbers.
        """
        return self._run(self.checked(pixels))[:, :, 0, 0]

    @cached_property
    def _run(self) -> Callable[[npt.NDArray], npt.NDArray]:
        return prepared(self.steps, self.values[0])

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.image, self.steps)

    def predict(self, pixels: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """The class of the largest output, int64 [image]; ties go to the lower class.

        `pixels` [image, pixel] or [image, channel, row, column], as of `outputs`.
        """
        return self.outputs(pixels).argmax(axis=1)

    def checked(self, pixels: npt.ArrayLike) -> npt.NDArray[np.uint8]:
        """The images as uint8 [image, channel, row, column].

        `pixels` are [image, pixel] or of these axes. Raises ConfigurationError as `outputs` does.
        """
        array = as_array(pixels, "pixels", "whole numbers from 0 to 255")
        channels, rows, columns = self.image
        size = channels * rows * columns
        if array.ndim not in (2, 4) or not len(array):
            raise ConfigurationError(
                f"Got pixels of shape {array.shape}; expected [image, pixel] or [image, channel, "
                "row, column], one image at least. One image is pixels[None]."
            )
        if array.shape[1:] not in ((size,), self.image):
            got = f"{array.shape[1]} pixels"
            if array.ndim == 4:
                got = f"{array.shape[1]} channels of {array.shape[2]}×{array.shape[3]} pixels"
            raise ConfigurationError(
                f"Got images of {got}; the network takes {channels} channels of {rows}×{columns}, "
                f"{size} pixels. Take images of that size, channels first, or another network."
            )
        if array.dtype != np.uint8:
            with np.errstate(invalid="ignore"):
                sound = (array >= 0) & (array <= 255) & (array == np.floor(array))
            if not sound.all():
                raise ConfigurationError(
                    f"Got the pixel {array[~sound][0]}; expected whole numbers from 0 to 255: what "
                    "scales them is a step of the network."
                )
            array = array.astype(np.uint8)
        return array.reshape(-1, *self.image)

    def save(self, path: str | Path) -> None:
        """Write the network to a new file, whole or not at all: see `file.py`.

        Raises ConfigurationError if there is a file of that name, StorageError if it cannot be
        written.
        """
        from qhyper.targets.convolutional.file import write

        write(self.image, self.steps, path)

    @classmethod
    def load(cls, path: str | Path) -> "ConvolutionalNetwork":
        """Read the network that `save` wrote.

        Raises MissingError if there is no such file, StorageError if it is damaged or holds
        something else, or if a newer version of qhyper wrote it.
        """
        from qhyper.targets.convolutional.file import read

        return read(path, cls)

    @classmethod
    def from_torch(
        cls, module: "torch.nn.Module", *, image: Sequence[int]
    ) -> "ConvolutionalNetwork":
        """Pack a torch module that takes pixels: predictions are its own in eval mode and float64.

        `image` is the channels, rows and columns that it takes. See `torch_module.from_module`,
        also for what is refused and for types below float64.
        """
        from qhyper.targets.convolutional.torch_module import from_module

        return from_module(module, image, cls)

    def to_torch(self) -> "torch.nn.Sequential":
        """The network as a torch module in float64: see `torch_module.to_torch`."""
        from qhyper.targets.convolutional.torch_module import to_torch

        return to_torch(self)

    def to_onnx(self, path: str | Path) -> None:
        """Write the network to a new ONNX file: see `onnx_file.to_onnx`."""
        from qhyper.targets.convolutional.onnx_file import to_onnx

        to_onnx(self, path)


def all_steps(steps: Sequence[Step]) -> list[Step]:
    """The steps, and those in residuals."""
    found: list[Step] = []
    for step in steps:
        if isinstance(step, Residual):
            found += all_steps(step.body) + all_steps(step.shortcut)
        else:
            found.append(step)
    return found
