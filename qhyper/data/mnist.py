"""MNIST and Fashion-MNIST as data sets: which classes, in how many pixels, on which scale."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from qhyper.data.images import Images, images_availability, load_images
from qhyper.data.samples import Dataset, Samples
from qhyper.data.sets import comes_from
from qhyper.errors import ConfigurationError, unknown

_SIDE = 28  # pixels of the images in each direction
_CLASSES = 10
_BLOCK = 4096  # images resized at a time: what is in between stays small


@comes_from(lambda: images_availability("mnist"))
def mnist(
    *,
    digits: Sequence[int] | Literal["all"] = (0, 1),
    size: int = 2,
    pixels: Literal["signed", "unit"] = "signed",
) -> Dataset:
    """MNIST's images of some digits in size × size pixels; digit number k of `digits` has label k.

    Rows of the default: 12,665 + 2,115; of `digits="all"`: 60,000 + 10,000. The resizing is
    bilinear, with half-pixel centres and no antialiasing: 4 × 4 takes the pixels 3, 10, 17 and 24
    in each direction, and 28 × 28 are the pixels as they are. Pixels v from 0 to 255 are
    (v - 127.5) / 128 (`signed`), which signs need to have exact ties, or v / 255 (`unit`).

    Raises ConfigurationError for digits, a size or pixels that there are not, MissingError if a
    file is neither there nor downloadable, StorageError if one is damaged.
    """
    chosen = _classes("digits", digits)
    plain = (chosen, size, pixels) == ([0, 1], 2, "signed")
    return _of_images("mnist", chosen, size, pixels, plain)


@comes_from(lambda: images_availability("fashion-mnist"))
def fashion_mnist(
    *,
    classes: Sequence[int] | Literal["all"] = "all",
    size: int = 28,
    pixels: Literal["signed", "unit"] = "signed",
) -> Dataset:
    """Fashion-MNIST's images of some classes, as `mnist`; class number k of `classes` has label k.

    Classes: 0 T-shirt, 1 trouser, 2 pullover, 3 dress, 4 coat, 5 sandal, 6 shirt, 7 sneaker,
    8 bag, 9 ankle boot; 6,000 + 1,000 rows of each. Raises as `mnist` does.
    """
    chosen = _classes("classes", classes)
    plain = (chosen, size, pixels) == (list(range(_CLASSES)), _SIDE, "signed")
    return _of_images("fashion-mnist", chosen, size, pixels, plain)


def _classes(option: str, given: Any) -> list[int]:
    """The classes that an option names, in the order of their labels."""
    if isinstance(given, str) and given == "all":
        return list(range(_CLASSES))
    right = isinstance(given, Sequence) and all(
        isinstance(one, int | np.integer) and not isinstance(one, bool) and 0 <= one < _CLASSES
        for one in given
    )
    if not right or not len(given) == len(set(given)) >= 2:
        raise ConfigurationError(
            f"Got {option}={given!r}; expected two or more different ones from 0 to 9 as a list, "
            "such as [3, 7], or 'all'."
        )
    return [int(one) for one in given]


def _of_images(name: str, chosen: list[int], size: int, pixels: str, plain: bool) -> Dataset:
    """The data set of the chosen classes; it bears the name alone if all is default (`plain`)."""
    if not isinstance(size, int | np.integer) or isinstance(size, bool) or not 1 <= size <= _SIDE:
        raise ConfigurationError(f"Got size={size!r}; expected 1 to 28 pixels in each direction.")
    if pixels not in ("signed", "unit"):
        raise unknown("form of the pixels", str(pixels), ("signed", "unit"))
    label_of = np.full(_CLASSES, -1)
    label_of[chosen] = np.arange(len(chosen))

    def part(images: Images) -> Samples:
        labels = label_of[images.labels]
        rows = labels >= 0
        x = _scaled(images.pixels[rows], int(size), pixels)
        x.setflags(write=False)  # so that it is taken as it is
        return Samples(x, labels[rows])

    everything = chosen == list(range(_CLASSES))
    which = "" if everything else f" {''.join(map(str, chosen))}"
    title = name if plain else f"{name}{which} at {size}x{size}"
    train, test = load_images(name)
    return Dataset(title, part(train), part(test))


def _scaled(grey: npt.NDArray[np.uint8], size: int, pixels: str) -> npt.NDArray[np.float64]:
    """Features [image, size * size] of pixels [image, 784], made in place."""
    x = np.empty((len(grey), size * size))
    for start in range(0, len(grey), _BLOCK):
        block = grey[start : start + _BLOCK].reshape(-1, _SIDE, _SIDE)
        x[start : start + _BLOCK] = resized(block, size).reshape(len(block), -1)
    if pixels == "signed":
        x -= 127.5
        x /= 128
    else:
        x /= 255
    return x


def resized(images: npt.NDArray[np.uint8], size: int) -> npt.NDArray[np.float64]:
    """Bilinear resize of images [image, 28, 28] to [image, size, size]: rows first, then columns.

    Weights are exact in binary where the centres fall on pixels or half-way between two.
    """
    whole = images.shape[1]
    if size == whole:
        return images.astype(np.float64)
    centre = (np.arange(size) + 0.5) * whole / size - 0.5
    low = np.minimum(np.floor(centre).astype(np.int64), whole - 2)
    share = centre - low
    rows = images[:, low] * (1 - share)[:, None] + images[:, low + 1] * share[:, None]
    return rows[:, :, low] * (1 - share) + rows[:, :, low + 1] * share
