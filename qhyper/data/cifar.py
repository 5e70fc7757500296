"""CIFAR-10 and CIFAR-100 as data sets: which classes, how many pixels and channels, what scale."""

from collections.abc import Sequence
from typing import Literal

from qhyper.data.features import Channels, Scale, chosen_classes, dataset_of
from qhyper.data.images import images_availability
from qhyper.data.samples import Dataset
from qhyper.data.sets import comes_from

_SIDE = 32  # pixels of the images in each direction


@comes_from(lambda: images_availability("cifar-10"))
def cifar_10(
    *,
    classes: Sequence[int] | Literal["all"] = "all",
    size: int = _SIDE,
    channels: Channels = "rgb",
    pixels: Scale = "signed",
) -> Dataset:
    """CIFAR-10's images (Krizhevsky 2009) of some classes; number k of `classes` has label k.

    - classes: which, in the order of their labels, or `all`
    - size: pixels in each direction, 1 to 32
    - channels: `rgb`, all red, then all green, then all blue pixels, or `grey`
    - pixels: `signed`, (v - 127.5) / 128 of a pixel v from 0 to 255, or `unit`, v / 255

    Classes: 0 airplane, 1 automobile, 2 bird, 3 cat, 4 deer, 5 dog, 6 frog, 7 horse, 8 ship,
    9 truck; 5,000 + 1,000 rows of each. Features are the red, then the green, then the blue pixels
    (`rgb`), each row by row, or one channel of their luma 0.299 R + 0.587 G + 0.114 B of ITU-R
    BT.601, not rounded (`grey`). The resizing to size × size pixels is that of `mnist`, of each
    channel by itself: 8 × 8 takes the mean of the inner 2 × 2 pixels of each 4 × 4. Pixels v are
    (v - 127.5) / 128 (`signed`) or v / 255 (`unit`).

    All classes at 32 × 32 in colour are 50,000 × 3,072 numbers of float64, 1.2 GB, and 0.25 GB to
    test on; `load_images("cifar-10")` has the same in an eighth, as they are.

    Raises ConfigurationError for classes, a size, channels or pixels that there are not,
    MissingError if the files are neither there nor downloadable, StorageError if one is damaged.
    """
    return _cifar("cifar-10", 10, classes, size, channels, pixels)


@comes_from(lambda: images_availability("cifar-100"))
def cifar_100(
    *,
    classes: Sequence[int] | Literal["all"] = "all",
    size: int = _SIDE,
    channels: Channels = "rgb",
    pixels: Scale = "signed",
) -> Dataset:
    """CIFAR-100's images of some of its fine classes 0 to 99, as `cifar_10`; 500 + 100 of each.

    - classes: which, in the order of their labels, or `all`
    - size: pixels in each direction, 1 to 32
    - channels: `rgb`, all red, then all green, then all blue pixels, or `grey`
    - pixels: `signed`, (v - 127.5) / 128 of a pixel v from 0 to 255, or `unit`, v / 255

    It is not downloaded: the original archive `cifar-100-python.tar.gz`, packed or unpacked, is to
    lie where MissingError says. Raises as `cifar_10` does.
    """
    return _cifar("cifar-100", 100, classes, size, channels, pixels)


def _cifar(
    name: str,
    of_classes: int,
    classes: Sequence[int] | Literal["all"],
    size: int,
    channels: Channels,
    pixels: Scale,
) -> Dataset:
    chosen = chosen_classes("classes", classes, of_classes)
    default = (list(range(of_classes)), _SIDE, "rgb", "signed")
    return dataset_of(
        name,
        chosen,
        of_classes=of_classes,
        size=size,
        of_side=_SIDE,
        pixels=pixels,
        channels=channels,
        plain=(chosen, size, channels, pixels) == default,
    )
