"""Fields: a number for every bit of a layout, from few trained ones.

A static hypernetwork asks one small generator once a chunk of bits. What tells the chunks apart is
read off a field: a smooth one over the image that each unit of the first layer sees. That ties
neighbouring weights, which a mini-batch tells little about one by one.
"""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from scipy.fft import dct

from qhyper.errors import ConfigurationError, UnsuitableError, unknown
from qhyper.streams import Rngs
from qhyper.targets.layout import Layout

Reals = npt.NDArray[np.float64]
Rest = Literal["free", "signs"]
RESTS = ("free", "signs")


def image_of(n_inputs: int, image: Sequence[int] | None) -> tuple[int, int]:
    """(height, width) of the image that inputs are the pixels of.

    Unless told a square, or where they are no square, one row.
    """
    side = math.isqrt(n_inputs)
    usual = (side, side) if side**2 == n_inputs else (1, n_inputs)
    sides = usual if image is None else tuple(image)
    if len(sides) != 2 or math.prod(sides) != n_inputs:
        raise ConfigurationError(
            f"Got images of {tuple(sides)} for {n_inputs} inputs. Say which image the inputs are "
            "the pixels of, as image=(height, width)."
        )
    return sides[0], sides[1]


def cosines(size: int, kept: int) -> Reals:
    """The first `kept` cosines [frequency, place] of the orthonormal DCT-II on `size` places."""
    return np.ascontiguousarray(dct(np.eye(size), norm="ortho", axis=0)[:kept])


class Field(torch.nn.Module):
    """A number for every bit of a target's layout, [replica, bit], of few trained parameters.

    - layout: begins with a weight matrix, whose inputs are the pixels of `image` (`image_of`); each
      unit's numbers are an image of few frequencies (cosine transform, DCT-II)
    - kept: frequencies along each side, of which a shorter side keeps all it has
    - each: how many of these a unit has, drawn once for each unit from all of them (by a fixed
      seed, the same for all replicas); all unless told. Units that have different ones see more of
      the image together
    - rest: what the later blocks are: `free`, a trained number a bit; `signs`, fixed random signs
      (by the same seed) times one trained strength a block

    Parameters, float64: `first` [replica, unit, each] and `later` [replica, number] of each later
    block. They start at N(0, 1), strengths at 1. Raises UnsuitableError without such a layout,
    ConfigurationError for frequencies that the image does not have.
    """

    def __init__(
        self,
        layout: Layout | None,
        *,
        replicas: int,
        kept: int = 10,
        each: int | None = None,
        rest: Rest = "free",
        image: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        if layout is None or len(layout.blocks[0].layers) != 2:
            raise UnsuitableError(
                "A field ties the weights of the units of a first layer, and needs the layout of a "
                f"target that begins with a weight matrix; got {layout}."
            )
        n_inputs, n_units = layout.blocks[0].shape
        self.image = image_of(n_inputs, image)
        if isinstance(kept, bool) or not isinstance(kept, int) or kept < 1:
            raise ConfigurationError(
                f"Got kept={kept!r} frequencies along each side of an image; expected a whole "
                "number from 1."
            )
        self.kept = (min(kept, self.image[0]), min(kept, self.image[1]))
        every = math.prod(self.kept)
        whole = isinstance(each, int) and not isinstance(each, bool)
        if each is not None and not (whole and 1 <= each <= every):
            raise ConfigurationError(
                f"Got each={each!r} of {self.kept[0]}×{self.kept[1]} frequencies a unit; expected "
                f"1 to {every}."
            )
        if rest not in RESTS:
            raise unknown("rest of a field", str(rest), RESTS)
        self.layout, self.rest = layout, rest
        self.each = every if each is None else each
        drawn = np.random.default_rng(0)
        chosen = [np.sort(drawn.permutation(every)[: self.each]) for _ in range(n_units)]
        self._chosen: torch.Tensor | None
        self._constant("_chosen", None if self.each == every else np.stack(chosen))
        self._rows: torch.Tensor
        self._columns: torch.Tensor
        for name, side, few in zip(("_rows", "_columns"), self.image, self.kept, strict=True):
            self._constant(name, cosines(side, few))
        later = layout.blocks[1:]
        for number, block in enumerate(later):
            self._constant(f"_signs{number}", drawn.choice([-1.0, 1.0], block.size))
        self.first = torch.nn.Parameter(
            torch.zeros(replicas, n_units, self.each, dtype=torch.float64)
        )
        self.later = torch.nn.ParameterList(
            torch.zeros(replicas, b.size if rest == "free" else 1, dtype=torch.float64)
            for b in later
        )

    def _constant(self, name: str, values: npt.NDArray | None) -> None:
        """Keep what is never trained, where the parameters are."""
        kept = None if values is None else torch.from_numpy(values)
        self.register_buffer(name, kept, persistent=False)

    def describe(self) -> str:
        """One line, for reports."""
        of_each = "" if self._chosen is None else f" {self.each} random ones a unit of"
        return f"field of{of_each} {self.kept[0]}×{self.kept[1]} cosines, later layers {self.rest}"

    def initialise(self, rng: Rngs) -> None:
        """Draw the parameters anew, each replica by its own generator."""
        with torch.no_grad():
            start = np.stack([stream.normal(size=self.first.shape[1:]) for stream in rng])
            self.first.copy_(torch.from_numpy(start))
            for later in self.later:
                if self.rest == "signs":
                    later.fill_(1.0)
                    continue
                start = np.stack([stream.normal(size=later.shape[1:]) for stream in rng])
                later.copy_(torch.from_numpy(start))

    def forward(self) -> torch.Tensor:
        """The numbers, float64 [replica, bit], differentiable."""
        coefficients = self.first
        replicas, n_units, _ = coefficients.shape
        if self._chosen is not None:
            chosen = self._chosen.expand(replicas, -1, -1)
            whole = coefficients.new_zeros(replicas, n_units, math.prod(self.kept))
            coefficients = whole.scatter(2, chosen, coefficients)
        square = coefficients.reshape(replicas, n_units, *self.kept)
        images = self._rows.T @ square @ self._columns
        first = images.reshape(replicas, n_units, -1).swapaxes(1, 2).reshape(replicas, -1)
        later = [
            own if self.rest == "free" else own * self.get_buffer(f"_signs{number}")
            for number, own in enumerate(self.later)
        ]
        return torch.cat([first, *later], dim=1)
