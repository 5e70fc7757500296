"""MNIST and Fashion-MNIST as data sets: which classes, in how many pixels, on which scale."""

from collections.abc import Sequence
from typing import Literal

from qhyper.data.features import Scale, chosen_classes, dataset_of
from qhyper.data.images import images_availability
from qhyper.data.samples import Dataset
from qhyper.data.sets import comes_from

_SIDE = 28  # pixels of the images in each direction
_CLASSES = 10


@comes_from(lambda: images_availability("mnist"))
def mnist(
    *,
    digits: Sequence[int] | Literal["all"] = (0, 1),
    size: int = 2,
    pixels: Scale = "signed",
) -> Dataset:
    """MNIST's images of some digits in size × size pixels; digit number k of `digits` has label k.

    - digits: which, in the order of their labels, or `all`
    - size: pixels in each direction, 1 to 28
    - pixels: `signed`, (v - 127.5) / 128 of a pixel v from 0 to 255, or `unit`, v / 255

    Rows of the default: 12,665 + 2,115; of `digits="all"`: 60,000 + 10,000. The resizing is
    bilinear, with half-pixel centres and no antialiasing: 4 × 4 takes the pixels 3, 10, 17 and 24
    in each direction, and 28 × 28 are the pixels as they are. Pixels v from 0 to 255 are
    (v - 127.5) / 128 (`signed`), which signs need to have exact ties, or v / 255 (`unit`).

    Raises ConfigurationError for digits, a size or pixels that there are not, MissingError if a
    file is neither there nor downloadable, StorageError if one is damaged.
    """
    chosen = chosen_classes("digits", digits, _CLASSES)
    return dataset_of(
        "mnist",
        chosen,
        of_classes=_CLASSES,
        size=size,
        of_side=_SIDE,
        pixels=pixels,
        plain=(chosen, size, pixels) == ([0, 1], 2, "signed"),
    )


@comes_from(lambda: images_availability("fashion-mnist"))
def fashion_mnist(
    *,
    classes: Sequence[int] | Literal["all"] = "all",
    size: int = _SIDE,
    pixels: Scale = "signed",
) -> Dataset:
    """Fashion-MNIST's images of some classes, as `mnist`; class number k of `classes` has label k.

    - classes: which, in the order of their labels, or `all`
    - size: pixels in each direction, 1 to 28
    - pixels: `signed`, (v - 127.5) / 128 of a pixel v from 0 to 255, or `unit`, v / 255

    Classes: 0 T-shirt, 1 trouser, 2 pullover, 3 dress, 4 coat, 5 sandal, 6 shirt, 7 sneaker,
    8 bag, 9 ankle boot; 6,000 + 1,000 rows of each. Raises as `mnist` does.
    """
    chosen = chosen_classes("classes", classes, _CLASSES)
    return dataset_of(
        "fashion-mnist",
        chosen,
        of_classes=_CLASSES,
        size=size,
        of_side=_SIDE,
        pixels=pixels,
        plain=(chosen, size, pixels) == (list(range(_CLASSES)), _SIDE, "signed"),
    )
