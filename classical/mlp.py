"""MLP: a small network from a few latent bits to the logits of the weights."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from scipy.special import expit
from torch.nn.functional import logsigmoid

from qhyper.bits import Bits, all_bitstrings
from qhyper.errors import ConfigurationError
from qhyper.hypernetwork import Capabilities, HyperNetwork
from qhyper.streams import Rngs

MAX_LATENT_BITS = 8


class MLP(HyperNetwork):
    """A mixture of 2^k Bernoullis, whose logits a network computes from k latent bits z = ±1.

    p(w) = 2^-k Σ_z Π_i Bernoulli(w_i; σ(l_i(z))), l(z) = tanh(z W1 + b1) W2 + b2. All values of z
    are summed over, so log p is exact. Parameters float64: `W1` [replica, k, hidden],
    `b1` [replica, hidden], `W2` [replica, hidden, bit], `b2` [replica, bit].

    - latent_bits: k, 0 to 8
    - hidden: units of the hidden layer

    With k = 0 the input is constant and the MLP is a Bernoulli in other parameters.
    Raises ConfigurationError unless 0 <= latent_bits <= 8 and hidden >= 1.
    """

    capabilities = Capabilities(log_prob=True, marginals=True)
    recipe: Mapping[str, Any] = {
        "draws": 64,
        "learning_rate": 0.02,
        "start_steps": 468,
    }

    _latents: torch.Tensor

    def __init__(
        self, n_bits: int, *, seeds: Sequence[int] = (0,), latent_bits: int = 4, hidden: int = 32
    ) -> None:
        super().__init__(n_bits, seeds=seeds)
        if not 0 <= latent_bits <= MAX_LATENT_BITS:
            raise ConfigurationError(
                f"latent_bits is 0 to {MAX_LATENT_BITS}, since all 2^latent_bits values are "
                f"summed over; got {latent_bits}."
            )
        if hidden < 1:
            raise ConfigurationError(
                f"hidden is the number of hidden units, 1 or more; got {hidden}."
            )
        self.latent_bits = latent_bits
        latents = 2 * torch.from_numpy(all_bitstrings(latent_bits)).double() - 1
        self.register_buffer("_latents", latents, persistent=False)

        def parameter(*shape: int) -> torch.nn.Parameter:
            return torch.nn.Parameter(torch.empty(self.replicas, *shape, dtype=torch.float64))

        self.W1 = parameter(latent_bits, hidden)
        self.b1 = parameter(hidden)
        self.W2 = parameter(hidden, n_bits)
        self.b2 = parameter(n_bits)
        self.initialise()

    def describe(self) -> str:
        """One line on what this generator is, for reports."""
        if self.latent_bits == 0:
            return "MLP of a constant input, which is a reparametrised Bernoulli"
        return f"MLP of {self.latent_bits} latent bits, {self.b1.shape[1]} hidden units"

    def _initialise(self, rng: Rngs) -> None:
        # The logits start as N(0, 0.05²) or so: near the uniform distribution for every z.
        first = 1 / math.sqrt(self.latent_bits + 1)
        last = 0.05 / math.sqrt(self.b1.shape[1])
        scales = [(self.W1, first), (self.b1, first), (self.W2, last), (self.b2, 0.05)]
        for parameter, scale in scales:
            start = np.stack([stream.normal(0, scale, parameter.shape[1:]) for stream in rng])
            parameter.copy_(torch.from_numpy(start))

    def _logits(self) -> torch.Tensor:
        """Logits of the bits for every latent value, [replica, z, bit]."""
        hidden = (self._latents @ self.W1 + self.b1[:, None]).tanh()
        return torch.baddbmm(self.b2[:, None], hidden, self.W2)

    def _sample(self, shots: int, rng: Rngs, inputs: Any) -> Bits:
        latent = np.stack([stream.integers(1 << self.latent_bits, size=shots) for stream in rng])
        uniforms = np.stack([stream.random((shots, self.n_bits)) for stream in rng])
        p = expit(self._logits().cpu().numpy())[np.arange(self.replicas)[:, None], latent]
        return (uniforms < p).view(np.uint8)[:, None]

    def _marginals(self, inputs: Any) -> torch.Tensor:
        return self._logits().sigmoid().mean(1, keepdim=True)

    def _log_prob(self, bits: Bits, inputs: Any) -> torch.Tensor:
        # log σ(l) = l + log σ(-l): the bits enter in a product alone, which is fast.
        logits = self._logits()
        w = torch.as_tensor(
            bits.reshape(self.replicas, -1, self.n_bits).astype(np.float64), device=logits.device
        )
        joint = torch.baddbmm(logsigmoid(-logits).sum(-1)[:, None], w, logits.transpose(1, 2))
        log_p = joint.logsumexp(-1) - self.latent_bits * math.log(2)
        return log_p.view(bits.shape[:-1])
