"""ImageClassifier: what `fit_images` trains, and what it calls on the way."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch

from qhyper.arrays import is_whole
from qhyper.data.images import Images, checked_image
from qhyper.errors import ConfigurationError
from qhyper.streams import Streams


class ImageClassifier(torch.nn.Module, ABC):
    """A classifier of images (channels, rows, columns), all of whose randomness has one seed.

    Subclasses give `forward`, and draw from `streams`, or in training from the torch generator
    `draws`, never from a global stream: the state of that is kept in checkpoints.

    Raises ConfigurationError unless an image has three sizes of 1 or more, and for fewer than one
    class.
    """

    def __init__(self, image: Sequence[int], classes: int, *, seed: int) -> None:
        super().__init__()
        self.image = checked_image(image)
        if not is_whole(classes, at_least=1):
            raise ConfigurationError(f"Got classes={classes!r}; expected 1 or more, such as 10.")
        self.classes = int(classes)
        self.streams = Streams([seed])
        (rng,) = self.streams(0, "draw")
        self.draws = torch.Generator().manual_seed(int(rng.integers(2**63)))

    @abstractmethod
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits [image, class] of pixels x, numbers from 0 to 255 of any dtype.

        x is [image, channel, row, column]. Raises ConfigurationError for another shape.
        """

    def describe(self) -> str:
        """The network and its options, but the seed, as text: subclasses add all that they have.

        Checkpoints of networks with another text are refused.
        """
        return f"{type(self).__name__} of {self.image} and {self.classes} classes"

    def begin_epoch(self, number: int, epochs: int) -> None:
        """What has to be done before an epoch, from 1 on: nothing, unless overridden."""

    def begin_step(self, step: int, steps: int) -> None:
        """What has to be done before a step of the optimiser, from 0 on, over all epochs."""

    def after_step(self) -> None:
        """What has to be done after each step of the optimiser."""

    def after_epoch(self, x: torch.Tensor) -> None:
        """What has to be done after an epoch; x are the inputs of all images trained on.

        As `inputs_of` gives them: x is [image, ...] and of its dtype.
        """

    def inputs_of(self, images: Images) -> torch.Tensor:
        """Images as `forward` takes them, uint8 [image, channel, row, column].

        Raises ConfigurationError for images of another size or number of channels.
        """
        if images.shape != self.image:
            raise ConfigurationError(
                f"Got images of (channels, rows, columns) = {images.shape}; the network takes "
                f"{self.image}. Make the network for these images."
            )
        return torch.tensor(images.planes)


def are_sizes(sizes: Any) -> bool:
    """Whether they are a tuple or list of one whole number or more, each of 1 or more."""
    several = isinstance(sizes, tuple | list) and len(sizes) > 0
    return several and all(is_whole(size, at_least=1) for size in sizes)


def check_flags(**flags: bool) -> None:
    """Raise ConfigurationError for options that are neither True nor False."""
    for name, flag in flags.items():
        if not isinstance(flag, bool):
            raise ConfigurationError(f"Got {name}={flag!r}; expected True or False.")


def standardised(x: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Pixels from 0 to 255 as (x - 127.5) / 64, which no floating-point type but bfloat16 rounds.

    Whole colour images have about mean 0 and deviation 1 so.
    """
    return (x.to(dtype) - 127.5) / 64


def check_planes(x: torch.Tensor, image: tuple[int, int, int]) -> None:
    """Raise ConfigurationError unless x is [image, channel, row, column] of such images."""
    if x.ndim != 4 or tuple(x.shape[1:]) != image:
        raise ConfigurationError(
            f"Got x of shape {tuple(x.shape)}; expected [image, channel, row, column] = "
            f"[images, {', '.join(map(str, image))}]."
        )
