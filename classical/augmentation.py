"""Augmentation of images: padded crops, flips and rotations, at random for each image by itself."""

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn.functional import affine_grid, grid_sample, pad

from qhyper.arrays import is_whole
from qhyper.errors import ConfigurationError


@dataclass(frozen=True)
class Augmentation:
    """Random changes of images, in this order; the default changes nothing.

    - crop: pixels of 0 that are put on each side, of which a window of the old size is cut out; all
      its (2 crop + 1)² places are equally likely
    - flip: left and right are exchanged with probability 1/2
    - rotation: degrees: about the centre by U(-rotation, rotation), counter-clockwise; bilinear,
      rounded to whole numbers, and 0 where there was no image

    Raises ConfigurationError for a crop that is not a whole number from 0, a flip that is neither
    True nor False, and a rotation that is not from 0 to 180 degrees.
    """

    crop: int = 0
    flip: bool = False
    rotation: float = 0.0

    def __post_init__(self) -> None:
        if not is_whole(self.crop, at_least=0):
            raise ConfigurationError(
                f"Got crop={self.crop!r}; expected a whole number of pixels to put on each side, "
                "such as 4; 0 for none."
            )
        if not isinstance(self.flip, bool):
            raise ConfigurationError(f"Got flip={self.flip!r}; expected True or False.")
        number = isinstance(self.rotation, int | float) and not isinstance(self.rotation, bool)
        if not number or not 0 <= self.rotation <= 180:
            raise ConfigurationError(
                f"Got rotation={self.rotation!r}; expected the largest angle in degrees, from 0 "
                "(none) to 180, such as 15."
            )

    def __call__(self, images: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
        """Changed images, uint8 [image, channel, row, column], in the same shape, on their device.

        What is drawn comes from `rng` alone and is the same on every device; a rotation is computed
        in float32, so that devices may round a pixel to one of two neighbouring numbers.

        Raises ConfigurationError for images of another type or shape, and for a crop as large as
        they are, after which some would be empty.
        """
        if images.dtype != torch.uint8 or images.ndim != 4:
            raise ConfigurationError(
                f"Got images of {images.dtype} and shape {tuple(images.shape)}; expected "
                "torch.uint8 [image, channel, row, column], numbers from 0 to 255 as they are."
            )
        if self.crop and self.crop >= min(images.shape[2:]):
            raise ConfigurationError(
                f"Got crop={self.crop} for images of {images.shape[2]} x {images.shape[3]} pixels; "
                "expected less than they have in each direction."
            )
        if self.crop or self.flip:
            images = self._cropped_and_flipped(images, rng)
        if self.rotation and len(images):
            angles = rng.uniform(-self.rotation, self.rotation, len(images))
            images = rotated(images, torch.from_numpy(angles))
        return images

    def _cropped_and_flipped(self, images: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
        """One gather: of each image, the places of its pixels in the padded one."""
        n, channels, height, width = images.shape
        top, left = np.zeros((2, n), dtype=np.int64)
        columns = np.arange(width)
        if self.crop:
            top, left = rng.integers(0, 2 * self.crop + 1, (2, n))
        if self.flip:
            columns = np.where(rng.random((n, 1)) < 0.5, columns[::-1], columns)
        rows = top[:, None] + np.arange(height)
        columns = left[:, None] + columns
        where = rows[:, :, None] * (width + 2 * self.crop) + columns[:, None]
        index = torch.from_numpy(where.reshape(n, 1, height * width)).to(images.device)
        padded = pad(images, [self.crop] * 4).flatten(2)
        return padded.gather(2, index.expand(-1, channels, -1)).view(images.shape)


def rotated(images: torch.Tensor, degrees: torch.Tensor) -> torch.Tensor:
    """Images uint8 [image, channel, row, column], each turned counter-clockwise about its centre.

    `degrees` are float64 [image]. Pixels are squares: images that are not keep their size, and lose
    what turns out of it.
    """
    height, width = images.shape[2:]
    angle = torch.deg2rad(degrees)
    cos, sin, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    back = torch.stack(  # of each pixel, where it comes from, in halves of the width and the height
        [cos, -sin * height / width, zero, sin * width / height, cos, zero], dim=1
    )
    back = back.to(images.device, torch.float32).view(-1, 2, 3)
    grid = affine_grid(back, list(images.shape), align_corners=False)
    turned = grid_sample(images.float(), grid, mode="bilinear", align_corners=False)
    return turned.round_().to(torch.uint8)
