"""Images as rows of features: which classes, in how many pixels, on which scale."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from qhyper.arrays import is_whole
from qhyper.data.images import Images, load_images
from qhyper.data.samples import Dataset, Samples
from qhyper.errors import ConfigurationError, unknown

Scale = Literal["signed", "unit"]
"""Pixels v from 0 to 255 as (v - 127.5) / 128, which signs need to have exact ties, or v / 255."""
Channels = Literal["rgb", "grey"]
"""All channels as they are, or one: the luma 0.299 R + 0.587 G + 0.114 B of ITU-R BT.601."""

_BLOCK = 4096  # planes resized at a time: what is in between stays small
_LUMA = (299, 587, 114)  # thousandths


def chosen_classes(option: str, given: Any, n_classes: int) -> list[int]:
    """The classes that an option names, in the order of their labels.

    Raises ConfigurationError unless it is "all", or a list of two or more different ones.
    """
    if isinstance(given, str) and given == "all":
        return list(range(n_classes))
    right = isinstance(given, Sequence) and all(
        isinstance(one, int | np.integer) and not isinstance(one, bool) and 0 <= one < n_classes
        for one in given
    )
    if not right or not len(given) == len(set(given)) >= 2:
        raise ConfigurationError(
            f"Got {option}={given!r}; expected two or more different ones from 0 to "
            f"{n_classes - 1} as a list, such as [3, 7], or 'all'."
        )
    return [int(one) for one in given]


def dataset_of(
    name: str,
    chosen: Sequence[int],
    *,
    of_classes: int,
    size: int,
    of_side: int,
    pixels: Scale,
    channels: Channels = "rgb",
    plain: bool,
) -> Dataset:
    """The data set of the chosen classes of a published set of images.

    That has `of_classes` classes, in images of `of_side` pixels in each direction. The data set
    bears the name alone if all is default (`plain`).

    Raises ConfigurationError for a size, pixels or channels that there are not, and as
    `load_images` does.
    """
    _check_form(size, of_side, pixels, channels)
    which = ""
    if list(chosen) != list(range(of_classes)):
        which = f" {('' if of_classes <= 10 else ',').join(map(str, chosen))}"
    grey = " in grey" * (channels == "grey")
    title = name if plain else f"{name}{which} at {size}x{size}{grey}"
    train, test = load_images(name)

    def part(images: Images) -> Samples:
        return rows_of(images, chosen, int(size), pixels, channels)

    return Dataset(title, part(train), part(test))


def _check_form(size: Any, side: int, pixels: Any, channels: Any) -> None:
    if not is_whole(size, at_least=1) or size > side:
        raise ConfigurationError(
            f"Got size={size!r}; expected 1 to {side} pixels in each direction."
        )
    if pixels not in ("signed", "unit"):
        raise unknown("form of the pixels", str(pixels), ("signed", "unit"))
    if channels not in ("rgb", "grey"):
        raise unknown("form of the channels", str(channels), ("rgb", "grey"))


def rows_of(
    images: Images, chosen: Sequence[int], size: int, pixels: Scale, channels: Channels = "rgb"
) -> Samples:
    """Rows of the images of the chosen classes: class number k of `chosen` has label k.

    Features are the pixels of images resized to size x size, channel by channel and row by row.
    """
    label_of = np.full(max(images.labels.max(), *chosen) + 1, -1)
    label_of[list(chosen)] = np.arange(len(chosen))
    labels = label_of[images.labels]
    rows = labels >= 0
    planes = images.planes if rows.all() else images.planes[rows]
    x = _features(planes, size, channels)
    if pixels == "signed":
        x -= 127.5
        x /= 128
    else:
        x /= 255
    x.setflags(write=False)  # so that it is taken as it is
    return Samples(x, labels[rows])


def _features(
    planes: npt.NDArray[np.uint8], size: int, channels: Channels
) -> npt.NDArray[np.float64]:
    """Pixels from 0 to 255 as rows [image, channel * row * column], made in place."""
    n, n_channels, height, width = planes.shape
    x = np.empty((n, (n_channels if channels == "rgb" else 1) * size * size))
    step = _BLOCK // n_channels
    for start in range(0, n, step):
        block: npt.NDArray = planes[start : start + step]
        if channels == "grey":
            block = luma(block)
        small = resized(block.reshape(-1, height, width), size)
        x[start : start + step] = small.reshape(len(block), -1)
    return x


def luma(planes: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """The grey of red, green and blue [image, 3, row, column] as [image, row, column], 0 to 255.

    0.299 R + 0.587 G + 0.114 B (ITU-R BT.601), not rounded to whole numbers; exactly v where all
    three are v.
    """
    return np.einsum("ncij,c->nij", planes.astype(np.int64), np.array(_LUMA)) / 1000


def resized(images: npt.NDArray, size: int) -> npt.NDArray[np.float64]:
    """Bilinear resize of square images [image, row, column] to [image, size, size].

    Half-pixel centres and no antialiasing; rows first, then columns. Weights are exact in binary
    where the centres fall on pixels or half-way between two.
    """
    whole = images.shape[1]
    if size == whole:
        return images.astype(np.float64)
    centre = (np.arange(size) + 0.5) * whole / size - 0.5
    low = np.minimum(np.floor(centre).astype(np.int64), whole - 2)
    share = centre - low
    rows = images[:, low] * (1 - share)[:, None] + images[:, low + 1] * share[:, None]
    return rows[:, :, low] * (1 - share) + rows[:, :, low + 1] * share
