"""Bernoulli: every weight by itself, the distribution of a circuit without entanglement."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from scipy.special import expit
from torch.nn.functional import logsigmoid

from qhyper.bits import Bits
from qhyper.hypernetwork import Capabilities, HyperNetwork
from qhyper.streams import Rngs


class Bernoulli(HyperNetwork):
    """Independent bits: p(w) = Π_i σ(l_i)^(w_i) σ(-l_i)^(1 - w_i), logits l float64 [replica, bit].

    Starts near the uniform distribution, at l ~ N(0, 0.05²).
    """

    capabilities = Capabilities(log_prob=True, marginals=True, independent=True)
    recipe: Mapping[str, Any] = {
        "draws": 64,
        "learning_rate": 1.0,
        "start_steps": 156,
    }

    def __init__(self, n_bits: int, *, seeds: Sequence[int] = (0,)) -> None:
        super().__init__(n_bits, seeds=seeds)
        self.logits = torch.nn.Parameter(torch.empty(self.replicas, n_bits, dtype=torch.float64))
        self.initialise()

    def describe(self) -> str:
        """One line on what this generator is, for reports."""
        return "Bernoulli, every weight by itself"

    def _initialise(self, rng: Rngs) -> None:
        start = np.stack([stream.normal(0, 0.05, self.n_bits) for stream in rng])
        self.logits.copy_(torch.from_numpy(start))

    def _sample(self, shots: int, rng: Rngs, inputs: Any) -> Bits:
        uniforms = np.stack([stream.random((shots, self.n_bits)) for stream in rng])
        p = expit(self.logits.detach().cpu().numpy())
        return (uniforms < p[:, None]).view(np.uint8)[:, None]

    def _marginals(self, inputs: Any) -> torch.Tensor:
        return self.logits.sigmoid()[:, None]

    def _log_prob(self, bits: Bits, inputs: Any) -> torch.Tensor:
        # log σ(l) = l + log σ(-l): the bits enter in a product alone, which is fast.
        w = torch.as_tensor(bits.astype(np.float64), device=self.logits.device)
        logits = self.logits[:, None, None]
        return (w * logits).sum(-1) + logsigmoid(-logits).sum(-1)
