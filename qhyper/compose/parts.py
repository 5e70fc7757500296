"""What composed generators have in common, and what is asked of their parts."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from qhyper.arrays import as_float
from qhyper.errors import ConfigurationError
from qhyper.hypernetwork import MAX_BITS_OF_PROBABILITIES, Capabilities, HyperNetwork

Float = npt.NDArray[np.float64]


class Composed(HyperNetwork):
    """What independent parts have in common: probabilities are the product of theirs."""

    @property
    def parts(self) -> list[HyperNetwork]:
        """The generators that this one is made of."""
        return [part for part in self.children() if isinstance(part, HyperNetwork)]

    @property
    def differentiable_bits(self) -> int:
        """As in HyperNetwork: 0 if a part has no such probabilities of its own bits."""
        return self.capabilities.probability_bits

    @property
    def max_probability_bits(self) -> int:
        """As in HyperNetwork: 0 if a part has no probabilities of its own bits."""
        able = all(part.n_bits <= part.max_probability_bits for part in self.parts)
        return MAX_BITS_OF_PROBABILITIES if able else 0

    def joint_capabilities(self) -> Capabilities:
        """What all parts can do; quantum if any of them is."""
        able = [part.capabilities for part in self.parts]
        tables = all(part.n_bits <= part.differentiable_bits for part in self.parts)
        return Capabilities(
            log_prob=all(each.log_prob for each in able),
            angles=all(each.angles for each in able),
            probability_bits=MAX_BITS_OF_PROBABILITIES if tables else 0,
            marginals=all(part.has_marginals for part in self.parts),
            independent=all(each.independent for each in able),
            quantum=any(each.quantum for each in able),
        )

    def checked_angles(self, angles: npt.ArrayLike, n_angles: int) -> Float:
        """Checked `angles` [replica, row, angle] in radians, in the same shape.

        Raises ConfigurationError unless there are `n_angles` finite ones a row.
        """
        array = as_float(angles, "angles", "finite numbers [replica, row, angle]")
        fits = array.ndim == 3 and array.shape[::2] == (self.replicas, n_angles)
        if not fits or not np.isfinite(array).all():
            raise ConfigurationError(
                f"Got angles of shape {array.shape}; expected finite numbers [replica, row, "
                f"angle] = [{self.replicas}, rows, {n_angles}]."
            )
        return array


def check_parts(parts: Sequence[HyperNetwork]) -> None:
    """Raise ConfigurationError unless all are different generators of the same seeds and inputs."""
    for part in parts:
        if not isinstance(part, HyperNetwork):
            raise ConfigurationError(
                f"Got a {type(part).__name__} as a part; expected a HyperNetwork. By name: "
                "build_generator."
            )
        if part.capabilities.mitigates:
            raise ConfigurationError(
                f"Got {part.describe()} as a part, on a backend with the option mitigate=true; "
                "readout errors are undone for circuits by themselves alone. Leave the option out."
            )
    if not parts:
        raise ConfigurationError("Got no part to join; expected one generator or more.")
    if len({id(part) for part in parts}) < len(parts):
        raise ConfigurationError(
            "Got one generator as two parts, which would train and draw as one; expected another "
            "for each. For one that is asked many times, use Chunked."
        )
    for what, values in (
        ("seeds", [part.seeds for part in parts]),
        ("numbers of input features", [part.n_inputs for part in parts]),
    ):
        if len(set(values)) > 1:
            raise ConfigurationError(
                f"The parts have the {what} {' and '.join(map(str, values))}; expected the same "
                "for all."
            )


def with_angles(generator: HyperNetwork) -> Any:
    """The generator, which has angles (`HasAngles`), or ConfigurationError."""
    if not generator.capabilities.angles:
        raise ConfigurationError(
            f"{generator.describe()} has no angles. Use an estimator that needs none, such as "
            "score-function."
        )
    return generator


def count_angles(generator: HyperNetwork) -> int:
    """Angles of the generator for one input."""
    return with_angles(generator).angles(inputs=somewhere(generator)).shape[-1]


def somewhere(generator: HyperNetwork) -> torch.Tensor | None:
    """An input that the generator takes, or None for an unconditional one."""
    if not generator.n_inputs:
        return None
    return torch.zeros(generator.replicas, 1, generator.n_inputs, dtype=torch.float64)


def product(tables: Sequence[torch.Tensor]) -> torch.Tensor:
    """One table for bits side by side, of tables [..., 2^n]: the first bits change fastest."""
    whole = tables[0]
    for table in tables[1:]:
        whole = (table[..., :, None] * whole[..., None, :]).flatten(-2)
    return whole


def reordered(table: torch.Tensor, order: npt.NDArray[np.int64]) -> torch.Tensor:
    """A table over bitstrings [..., 2^n] as one over strings whose bit `order[q]` was bit q."""
    n, lead = len(order), table.ndim - 1
    if (order == np.arange(n)).all():
        return table
    old = np.argsort(order)
    axes = table.reshape(*table.shape[:-1], *[2] * n)  # the last bit comes first
    axis = [lead + n - 1 - int(old[n - 1 - i]) for i in range(n)]
    return axes.permute(*range(lead), *axis).reshape(table.shape)
