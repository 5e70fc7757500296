"""Whole images by name: pixels and labels, from the files that were published."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from qhyper.arrays import as_array, is_whole
from qhyper.data import cifar_files, idx_files
from qhyper.errors import ConfigurationError, QhyperError, unknown


@dataclass(frozen=True, eq=False, repr=False)
class Images:
    """Labelled images: `pixels` uint8 [image, pixel], row by row, and `labels` int64 [image].

    `shape` is (channels, rows, columns); pixels come channel by channel. Unless told it is that of
    a square grey image, where their number is a square.

    Raises ConfigurationError for pixels of another type or shape, such as scaled ones, unless
    there is one whole number for each image as its label, and for a shape of another size.
    """

    pixels: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    shape: tuple[int, int, int] | None = None

    def __post_init__(self) -> None:
        pixels = as_array(self.pixels, "pixels", "uint8 [image, pixel]")
        labels = as_array(self.labels, "labels", "whole numbers [image]")
        if pixels.dtype != np.uint8 or pixels.ndim != 2:
            raise ConfigurationError(
                f"Got pixels of {pixels.dtype} and shape {pixels.shape}; expected uint8 "
                "[image, pixel], numbers from 0 to 255 as they are."
            )
        if labels.shape != (len(pixels),) or labels.dtype.kind not in "iu":
            raise ConfigurationError(
                f"Got labels of {labels.dtype} and shape {labels.shape}; expected whole numbers, "
                f"one for each of {len(pixels)} images."
            )
        object.__setattr__(self, "pixels", pixels)
        object.__setattr__(self, "labels", labels.astype(np.int64))
        object.__setattr__(self, "shape", _shape_of(self.shape, pixels.shape[1]))

    def __repr__(self) -> str:
        return f"Images({len(self)} of {self.pixels.shape[1]} pixels)"

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def bits(self) -> npt.NDArray[np.uint8]:
        """The sign of v - 127.5 of every pixel v as a bit, uint8 [image, pixel]: 1 is +1."""
        return (self.pixels >= 128).view(np.uint8)

    def take(self, chosen: npt.NDArray[np.integer] | slice) -> "Images":
        """Only these images, in this order: their numbers `chosen` [image], or a slice."""
        return Images(self.pixels[chosen], self.labels[chosen], self.shape)

    @property
    def planes(self) -> npt.NDArray[np.uint8]:
        """The pixels as uint8 [image, channel, row, column]; ConfigurationError without a shape."""
        if self.shape is None:
            raise ConfigurationError(
                f"Got images of {self.pixels.shape[1]} pixels, which are no square: their rows and "
                "columns are not known. Pass shape=(channels, rows, columns)."
            )
        return self.pixels.reshape(-1, *self.shape)


def checked_image(image: Any) -> tuple[int, int, int]:
    """(channels, rows, columns); ConfigurationError unless those are three sizes of 1 or more."""
    sizes = _three_sizes(image)
    if sizes is None:
        raise ConfigurationError(
            f"Got image={image!r}; expected (channels, rows, columns), whole numbers of 1 or "
            "more, such as (3, 32, 32)."
        )
    return sizes


def _three_sizes(given: Any) -> tuple[int, int, int] | None:
    """Three whole numbers of 1 or more; None for anything else."""
    sizes: tuple[Any, ...] = tuple(given) if isinstance(given, Sequence) else ()
    if len(sizes) != 3 or not all(is_whole(size, at_least=1) for size in sizes):
        return None
    return int(sizes[0]), int(sizes[1]), int(sizes[2])


def _shape_of(given: Any, n_pixels: int) -> tuple[int, int, int] | None:
    """The shape of images, checked: as given, that of a square, or none."""
    if given is None:
        side = math.isqrt(n_pixels)
        return (1, side, side) if side and side * side == n_pixels else None
    sizes = _three_sizes(given)
    if sizes is None or math.prod(sizes) != n_pixels:
        raise ConfigurationError(
            f"Got the shape {given!r} for images of {n_pixels} pixels; expected (channels, rows, "
            "columns), whole numbers whose product that is."
        )
    return sizes


class _Format(NamedTuple):
    """Files of one format: by name, how they are read and where they are."""

    shape: tuple[int, int, int]
    load: Callable[[str], tuple[tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]], ...]]
    whereabouts: Callable[[str], str]


_SETS = {
    **dict.fromkeys(idx_files.SOURCES, _Format((1, 28, 28), idx_files.load, idx_files.whereabouts)),
    **dict.fromkeys(
        cifar_files.ARCHIVES, _Format((3, 32, 32), cifar_files.load, cifar_files.whereabouts)
    ),
}


def load_images(name: str) -> tuple[Images, Images]:
    """Training and test images of a published set, all of them, in their order.

    mnist, fashion-mnist  60,000 and 10,000 grey images of shape (1, 28, 28), ten classes
    cifar-10              50,000 and 10,000 in red, green and blue, (3, 32, 32), ten classes
    cifar-100             the same with the hundred fine classes; never downloaded

    Raises ConfigurationError for another name, MissingError if a file is neither there nor
    downloadable, StorageError if one is damaged.
    """
    if name not in _SETS:
        raise unknown("set of images", str(name), _SETS)
    shape, load, _ = _SETS[name]
    train, test = (Images(pixels, labels, shape) for pixels, labels in load(name))
    return train, test


def images_availability(name: str) -> str:
    """Where a known set of images would come from, in words. Downloads nothing."""
    try:
        return _SETS[name].whereabouts(name)
    except QhyperError as error:
        return f"cannot be used: {error}"
