"""Categorical: the bits of a hidden unit drawn together, the units independently."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from qhyper.bits import Bits, all_bitstrings
from qhyper.errors import UnsuitableError
from qhyper.hypernetwork import Capabilities, HyperNetwork
from qhyper.streams import Rngs
from qhyper.targets.layout import Layout

MAX_BITS_OF_BLOCK = 16


class Categorical(HyperNetwork):
    """One categorical over the 2^b values of the b bits of each hidden unit.

    p(w) = Π_u softmax(l_u)[v_u], with v_u the bits of unit u read as a number (the first bit
    counts 1) and logits l float64 [replica, unit, 2^b]. For (4, 6, 2): six 64-way categoricals.
    Starts near the uniform distribution, at l ~ N(0, 0.05²).

    Raises ConfigurationError unless `layout` is that of the target, with one hidden layer and no
    bit that belongs to none of its units, and if a unit has more than 16 bits.
    """

    capabilities = Capabilities(log_prob=True, marginals=True)
    recipe: Mapping[str, Any] = {
        "draws": 64,
        "learning_rate": 0.2,
        "start_steps": 468,
    }

    def __init__(
        self, n_bits: int, *, seeds: Sequence[int] = (0,), layout: Layout | None = None
    ) -> None:
        super().__init__(n_bits, seeds=seeds)
        self._blocks = _blocks(n_bits, layout)
        units, width = self._blocks.shape
        self._position = np.argsort(self._blocks.ravel())
        self._values = all_bitstrings(width)
        self.logits = torch.nn.Parameter(
            torch.empty(self.replicas, units, 1 << width, dtype=torch.float64)
        )
        self.initialise()

    def describe(self) -> str:
        """One line on what this generator is, for reports."""
        units, values = self.logits.shape[1:]
        return f"Categorical, {units} hidden units of {values} values each"

    def _initialise(self, rng: Rngs) -> None:
        start = np.stack([stream.normal(0, 0.05, self.logits.shape[1:]) for stream in rng])
        self.logits.copy_(torch.from_numpy(start))

    def _sample(self, shots: int, rng: Rngs, inputs: Any) -> Bits:
        units = len(self._blocks)
        uniforms = torch.from_numpy(np.stack([stream.random((units, shots)) for stream in rng]))
        cumulative = self.logits.cpu().softmax(-1).cumsum(-1)
        # Divided by its last entry, the sum ends at exactly 1 and no uniform lies past it.
        cumulative = cumulative / cumulative[..., -1:]
        values = torch.searchsorted(cumulative, uniforms, right=True).transpose(1, 2).numpy()
        bits = self._values[values].reshape(self.replicas, 1, shots, self.n_bits)
        return bits.take(self._position, axis=-1)

    def _marginals(self, inputs: Any) -> torch.Tensor:
        values = torch.from_numpy(self._values.astype(np.float64)).to(self.logits.device)
        of_units = (self.logits.softmax(-1) @ values).flatten(1)  # [replica, unit and bit of it]
        return of_units[:, None, torch.from_numpy(self._position)]

    def _log_prob(self, bits: Bits, inputs: Any) -> torch.Tensor:
        units, width = self._blocks.shape
        blocks = bits.take(self._blocks.ravel(), axis=-1).reshape(self.replicas, -1, units, width)
        values = torch.as_tensor(blocks @ (1 << np.arange(width)), device=self.logits.device)
        log_p = self.logits.log_softmax(-1).gather(-1, values.transpose(1, 2)).sum(1)
        return log_p.view(bits.shape[:-1])


def _blocks(n_bits: int, layout: Layout | None) -> np.ndarray:
    """Bits of each hidden unit, [unit, b], which together are all bits; else an error."""
    if layout is None:
        raise UnsuitableError(
            "Categorical needs the target's layout, to know which bits belong to which "
            "hidden unit; got none. Pass layout=network.layout, or use Bernoulli or "
            "Autoregressive, which need none."
        )
    layout.check(n_bits)
    if len(layout.layers) != 3:
        raise UnsuitableError(
            f"Categorical is for one hidden layer, where every bit belongs to one hidden unit; "
            f"got {layout}. Use Bernoulli or Autoregressive for other networks."
        )
    blocks = np.stack(layout.unit_blocks())
    if blocks.size != n_bits:
        raise UnsuitableError(
            f"Categorical is for targets where every bit belongs to one hidden unit; the {layout} "
            f"has {n_bits - blocks.size} more. Use Bernoulli or Autoregressive."
        )
    units, width = blocks.shape
    if width > MAX_BITS_OF_BLOCK:
        raise UnsuitableError(
            f"A hidden unit of {layout.layers} has {width} bits; the limit is "
            f"{MAX_BITS_OF_BLOCK}, since Categorical would need {units} * 2^{width} = "
            f"{units << width} logits. Use Autoregressive or MLP."
        )
    return blocks
