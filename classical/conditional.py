"""Independent weights whose probabilities depend on the input."""

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from scipy.special import expit
from torch.nn.functional import logsigmoid

from qhyper.bits import Bits
from qhyper.errors import ConfigurationError
from qhyper.hypernetwork import Capabilities, HyperNetwork
from qhyper.streams import Rngs


class _OfLogits(HyperNetwork):
    """p(w | x) = Π_i Bernoulli(w_i; σ(l_i(x))), for subclasses that give the logits l(x)."""

    capabilities = Capabilities(log_prob=True, marginals=True, independent=True)

    @abstractmethod
    def logits(self, inputs: torch.Tensor) -> torch.Tensor:
        """The logits [replica, input, bit] at inputs float64 [replica, input, feature]."""

    def _sample(self, shots: int, rng: Rngs, inputs: torch.Tensor | None) -> Bits:
        assert inputs is not None
        p = expit(self.logits(inputs).detach().cpu().numpy())[:, :, None]
        uniforms = np.stack([r.random((p.shape[1], shots, self.n_bits)) for r in rng])
        return (uniforms < p).view(np.uint8)

    def _marginals(self, inputs: torch.Tensor | None) -> torch.Tensor:
        assert inputs is not None
        return self.logits(inputs).sigmoid()

    def _log_prob(self, bits: Bits, inputs: torch.Tensor | None) -> torch.Tensor:
        assert inputs is not None
        # log σ(l) = l + log σ(-l): the bits enter in a product alone, which is fast.
        logits = self.logits(inputs)
        w = torch.as_tensor(bits.astype(np.float64), device=logits.device)
        drawn = (w @ logits[..., None])[..., 0]
        return drawn + logsigmoid(-logits).sum(-1)[:, :, None]


class ConditionalBernoulli(_OfLogits):
    """p(w | x) = Π_i Bernoulli(w_i; σ(l_i(x))) with logits l(x) = (x W1 + b1) W2 + b2.

    The input-conditioned hypernetwork of E. Oey (2023, "Hypernetworks for binary neural
    networks", Leiden), a linear layer of `hidden` units and one of a logit for each bit, with a
    draw in the place of its rounding. Parameters float64: `W1` [replica, feature, hidden],
    `b1` [replica, hidden], `W2` [replica, hidden, bit], `b2` [replica, bit]. The logits start as
    N(0, 0.05²) or so: near the uniform distribution for every input. Raises ConfigurationError
    unless there is at least one input feature and one hidden unit.
    """

    recipe: Mapping[str, Any] = {
        "draws": 8,
        "learning_rate": 0.05,
        "start_steps": 585,
    }

    def __init__(
        self, n_bits: int, *, n_inputs: int, hidden: int = 16, seeds: Sequence[int] = (0,)
    ) -> None:
        if n_inputs < 1 or hidden < 1:
            raise ConfigurationError(
                f"Got n_inputs={n_inputs} and hidden={hidden}; expected at least one feature and "
                "one hidden unit. Without inputs, use Bernoulli."
            )
        super().__init__(n_bits, seeds=seeds, n_inputs=n_inputs)

        def parameter(*shape: int) -> torch.nn.Parameter:
            return torch.nn.Parameter(torch.empty(self.replicas, *shape, dtype=torch.float64))

        self.W1 = parameter(n_inputs, hidden)
        self.b1 = parameter(hidden)
        self.W2 = parameter(hidden, n_bits)
        self.b2 = parameter(n_bits)
        self.initialise()

    def describe(self) -> str:
        """One line on what this generator is, for reports."""
        return f"Bernoulli of {self.n_inputs} features, {self.b1.shape[1]} linear hidden units"

    def _initialise(self, rng: Rngs) -> None:
        first = 1 / math.sqrt(self.n_inputs + 1)
        last = 0.05 / math.sqrt(self.b1.shape[1])
        scales = [(self.W1, first), (self.b1, first), (self.W2, last), (self.b2, 0.05)]
        for parameter, scale in scales:
            start = np.stack([stream.normal(0, scale, parameter.shape[1:]) for stream in rng])
            parameter.copy_(torch.from_numpy(start))

    def logits(self, inputs: torch.Tensor) -> torch.Tensor:
        """The logits [replica, input, bit] at inputs float64 [replica, input, feature]."""
        hidden = torch.baddbmm(self.b1[:, None], inputs.to(self.b1.device), self.W1)
        return torch.baddbmm(self.b2[:, None], hidden, self.W2)


class InputLogits(_OfLogits):
    """p(w | x) = Π_i Bernoulli(w_i; σ(l_i(x))) with logits l(x) = x + s tanh(x W1 + b1) W2.

    Feature i is the logit of bit i, and `hidden` units, none unless told, mix the features of an
    input: a residual MLP. Its bits stay independent. Over it, `Chunked` makes a Bernoulli
    distribution of a field of logits. Parameters float64, of N(0, 1): `W1` [replica, feature,
    hidden] and `b1` [replica, hidden], both over √(features + 1), and `W2` [replica, hidden, bit],
    over √hidden; s is `scale`, and small, since all chunks share these and each has its own
    features. Raises ConfigurationError unless there is a feature a bit, for hidden < 0, and unless
    scale is finite and above 0.
    """

    def __init__(
        self,
        n_bits: int,
        *,
        n_inputs: int | None = None,
        hidden: int = 0,
        scale: float = 0.1,
        seeds: Sequence[int] = (0,),
    ) -> None:
        if n_inputs not in (None, n_bits):
            raise ConfigurationError(
                f"Got n_inputs={n_inputs} for {n_bits} bits; InputLogits takes one feature a bit."
            )
        if hidden < 0 or not 0 < scale < math.inf:
            raise ConfigurationError(
                f"Got hidden={hidden} and scale={scale}; expected 0 hidden units or more, and a "
                "finite scale above 0."
            )
        super().__init__(n_bits, seeds=seeds, n_inputs=n_bits)
        self.hidden, self.scale = hidden, scale
        if hidden:

            def parameter(*shape: int) -> torch.nn.Parameter:
                return torch.nn.Parameter(torch.empty(self.replicas, *shape, dtype=torch.float64))

            self.W1 = parameter(n_bits, hidden)
            self.b1 = parameter(hidden)
            self.W2 = parameter(hidden, n_bits)
            self.initialise()

    def describe(self) -> str:
        """One line on what this generator is, for reports."""
        more = f" and a residual MLP of {self.hidden} units" if self.hidden else ""
        return f"Bernoulli whose logits are its features{more}"

    def _initialise(self, rng: Rngs) -> None:
        for parameter in self.parameters():
            start = np.stack([stream.normal(size=parameter.shape[1:]) for stream in rng])
            parameter.copy_(torch.from_numpy(start))

    def logits(self, inputs: torch.Tensor) -> torch.Tensor:
        """The logits [replica, input, bit] at inputs float64 [replica, input, feature]."""
        if not self.hidden:
            return inputs
        x = inputs.to(self.b1.device)
        hidden = torch.baddbmm(self.b1[:, None], x, self.W1) / math.sqrt(self.n_bits + 1)
        return torch.baddbmm(x, hidden.tanh(), self.W2, alpha=self.scale / math.sqrt(self.hidden))
