"""Networks of which some binary kernels are open: bits in, steps out."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from qhyper.arrays import is_whole
from qhyper.bits import Bits
from qhyper.errors import ConfigurationError, unknown
from qhyper.targets.convolutional.engine import prepared
from qhyper.targets.convolutional.network import ConvolutionalNetwork
from qhyper.targets.convolutional.steps import (
    BinaryConvolution,
    Convolution,
    Residual,
    Step,
)
from qhyper.targets.layout import Block, Layout


class OpenKernels:
    """A network and the places of its kernels that are `free`, such as "2" or "4.body.1".

    A real convolution that is free has the weights -1 and +1. Raises ConfigurationError for places
    without a kernel, with those that there are, for none, and for what is no sequence of places.
    """

    def __init__(self, network: ConvolutionalNetwork, free: Sequence[str | int]) -> None:
        kernels = {
            place: step
            for place, step in _places(network.steps)
            if isinstance(step, BinaryConvolution) or _is_real(step)
        }
        if not kernels:
            raise ConfigurationError(
                "Got a network without a kernel of weights -1 and +1: none can be free. Make one "
                "that has a BinaryConvolution."
            )
        chosen = _checked(free)
        for place in chosen:
            if place not in kernels:
                raise unknown("place of a binary kernel", place, kernels)
        self.network = network
        self.free = tuple(place for place in kernels if place in chosen)
        if not self.free:
            raise ConfigurationError(
                f"Got no kernel that is free; expected one or more of {', '.join(kernels)}."
            )
        self.shapes = tuple(_kernel(kernels[place]).shape for place in self.free)

    @property
    def layout(self) -> Layout:
        """The kernels, [out, in, row, column]: "k.weight" is the one that comes k-th."""
        return Layout(tuple(Block(f"{k}.weight", shape) for k, shape in enumerate(self.shapes)))

    @property
    def own_bits(self) -> Bits:
        """The bits [n_bits] of the network itself."""
        steps = dict(_places(self.network.steps))
        return np.concatenate([_kernel(steps[place]).ravel() for place in self.free])

    @cached_property
    def first(self) -> int:
        """The first step with a kernel that is free, or that has one inside."""
        return min(int(place.partition(".")[0]) for place in self.free)

    def steps(self, bits: Bits) -> tuple[Step, ...]:
        """The network's steps with these bits [n_bits]."""
        parts = np.split(bits, np.cumsum([math.prod(shape) for shape in self.shapes])[:-1])
        kernels = zip(self.free, parts, self.shapes, strict=True)
        return _with(self.network.steps, {at: part.reshape(s) for at, part, s in kernels})

    def before(self, x: npt.NDArray, start: int) -> npt.NDArray:
        """What the step `first` gets, for what the step `start` does: the same for all draws."""
        steps = self.network.steps[start : self.first]
        return prepared(steps, self.network.values[start])(x)

    def outputs(self, bits: Bits, x: npt.NDArray, start: int) -> npt.NDArray:
        """Outputs [row, class] of one draw [n_bits] for what the step `start` gets."""
        steps = self.steps(bits)[start:]
        return prepared(steps, self.network.values[start])(x)[:, :, 0, 0]


def _checked(free: Any) -> list[str]:
    """The places as they are written; ConfigurationError for anything else."""
    places = free if isinstance(free, Sequence) and not isinstance(free, str) else [None]
    if not all(isinstance(place, str) or is_whole(place, at_least=0) for place in places):
        raise ConfigurationError(
            f"Got free={free!r}; expected a sequence of places of kernels, each the number of a "
            'step or such as "4.body.1". One place is free=("4.body.1",).'
        )
    return [str(place) for place in places]


def binary_places(steps: Sequence[Step]) -> list[str]:
    """The places of all binary convolutions."""
    return [place for place, step in _places(steps) if isinstance(step, BinaryConvolution)]


def _places(steps: Sequence[Step], where: str = "") -> Iterator[tuple[str, Step]]:
    """Every step with its place, those in residuals too."""
    for number, step in enumerate(steps):
        place = f"{where}{number}"
        yield place, step
        if isinstance(step, Residual):
            yield from _places(step.body, f"{place}.body.")
            yield from _places(step.shortcut, f"{place}.shortcut.")


def _with(steps: Sequence[Step], kernels: Mapping[str, Bits], where: str = "") -> tuple[Step, ...]:
    """The steps with other kernels at some places."""
    found: list[Step] = []
    for number, step in enumerate(steps):
        place = f"{where}{number}"
        if isinstance(step, Residual):
            body = _with(step.body, kernels, f"{place}.body.")
            found.append(Residual(body, _with(step.shortcut, kernels, f"{place}.shortcut.")))
        elif place not in kernels:
            found.append(step)
        elif isinstance(step, Convolution):
            found.append(replace(step, weight=2 * kernels[place].astype(np.float64) - 1))
        else:
            assert isinstance(step, BinaryConvolution)
            found.append(replace(step, bits=kernels[place]))
    return tuple(found)


def _is_real(step: Step) -> bool:
    return isinstance(step, Convolution) and bool((np.abs(step.weight) == 1).all())


def _kernel(step: Step) -> Bits:
    """The weights as bits [out, in, row, column]."""
    if isinstance(step, Convolution):
        return (step.weight > 0).astype(np.uint8)
    assert isinstance(step, BinaryConvolution)
    return step.bits
