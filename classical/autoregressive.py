"""Autoregressive: every weight given those before it, by one masked network (MADE)."""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.nn.functional import logsigmoid

from qhyper.bits import Bits
from qhyper.errors import ConfigurationError
from qhyper.hypernetwork import Capabilities, HyperNetwork
from qhyper.machine import njit
from qhyper.streams import Rngs


class Autoregressive(HyperNetwork):
    """p(w) = Π_i p(w_i | w_0 ... w_{i-1}), the masked autoencoder MADE (Germain et al. 2015).

    The logits of all bits are l = relu(x W1 + b1) W2 + b2 with x = 2w - 1. Hidden unit h sees the
    first d_h bits alone and speaks to the bits after them alone; the d_h rise evenly from 1 to
    n_bits - 1. Parameters float64: `W1` [replica, bit, hidden], `b1` [replica, hidden],
    `W2` [replica, hidden, bit], `b2` [replica, bit].

    - hidden: units of the hidden layer

    Raises ConfigurationError if hidden < 1.
    """

    capabilities = Capabilities(log_prob=True)
    recipe: Mapping[str, Any] = {
        "draws": 64,
        "learning_rate": 0.02,
        "start_steps": 468,
    }

    _mask1: torch.Tensor
    _mask2: torch.Tensor

    def __init__(self, n_bits: int, *, seeds: Sequence[int] = (0,), hidden: int = 64) -> None:
        super().__init__(n_bits, seeds=seeds)
        if hidden < 1:
            raise ConfigurationError(
                f"hidden is the number of hidden units, 1 or more; got {hidden}."
            )
        seen = 1 + np.arange(hidden) * (n_bits - 1) // hidden
        before = np.arange(n_bits)[:, None] < seen  # [bit, hidden]
        for mask, kept in (("_mask1", before), ("_mask2", ~before.T)):
            self.register_buffer(mask, torch.from_numpy(kept).double(), persistent=False)
        self._complete = np.searchsorted(seen, np.arange(n_bits), side="right")

        def parameter(*shape: int) -> torch.nn.Parameter:
            return torch.nn.Parameter(torch.empty(self.replicas, *shape, dtype=torch.float64))

        self.W1 = parameter(n_bits, hidden)
        self.b1 = parameter(hidden)
        self.W2 = parameter(hidden, n_bits)
        self.b2 = parameter(n_bits)
        self.initialise()

    @property
    def n_parameters(self) -> int:
        """Trained parameters of one replica; masked weights do not count."""
        masked = self._mask1.numel() + self._mask2.numel() - self._mask1.sum() - self._mask2.sum()
        return super().n_parameters - int(masked)

    def describe(self) -> str:
        """One line on what this generator is, for reports."""
        return f"Autoregressive (MADE), {self.b1.shape[1]} hidden units"

    def _initialise(self, rng: Rngs) -> None:
        # The logits start as N(0, 0.1²) or so: near the uniform distribution.
        first = 1 / math.sqrt(self.n_bits)
        last = 0.1 / math.sqrt(self.b1.shape[1])
        scales = [(self.W1, first), (self.b1, first), (self.W2, last), (self.b2, 0.05)]
        for parameter, scale in scales:
            start = np.stack([stream.normal(0, scale, parameter.shape[1:]) for stream in rng])
            parameter.copy_(torch.from_numpy(start))

    def _sample(self, shots: int, rng: Rngs, inputs: Any) -> Bits:
        uniforms = np.stack([stream.random((self.n_bits, shots)) for stream in rng])
        parameters = (p.detach().cpu().numpy() for p in (self.W1, self.b1, self.W2, self.b2))
        bits = _compiled()(uniforms, *parameters, self._complete)
        return np.ascontiguousarray(bits.swapaxes(1, 2))[:, None]

    def _logits(self, x: torch.Tensor) -> torch.Tensor:
        """Logits of each bit given those before it, for strings x = ±1, [replica, shot, bit]."""
        hidden = torch.baddbmm(self.b1[:, None], x, self.W1 * self._mask1).relu()
        return torch.baddbmm(self.b2[:, None], hidden, self.W2 * self._mask2)

    def _log_prob(self, bits: Bits, inputs: Any) -> torch.Tensor:
        signs = 2.0 * bits.reshape(self.replicas, -1, self.n_bits) - 1
        x = torch.as_tensor(signs, device=self.W1.device)
        return logsigmoid(x * self._logits(x)).sum(-1).view(bits.shape[:-1])


def _draw(uniforms, W1, b1, W2, b2, complete):
    """Draw bit after bit: bits uint8 [replica, bit, shot] from uniforms of the same shape.

    Hidden units stand in the order of the bits they see: the first `complete[i]` see none from
    bit i on. So a bit adds to the units after these, each unit is rectified once, and the masks
    are in the ranges. The inner loops run over the shots, which makes them fast.
    """
    replicas, n_bits, shots = uniforms.shape
    hidden = b1.shape[1]
    bits = np.empty(uniforms.shape, dtype=np.uint8)
    activation = np.empty((hidden, shots))
    logit = np.empty(shots)
    sign = np.empty(shots)
    for r in range(replicas):
        for h in range(hidden):
            activation[h] = b1[r, h]
        done = 0
        for i in range(n_bits):
            for h in range(done, complete[i]):
                for s in range(shots):
                    activation[h, s] = max(activation[h, s], 0.0)
            done = complete[i]
            logit[:] = b2[r, i]
            for h in range(done):
                for s in range(shots):
                    logit[s] += activation[h, s] * W2[r, h, i]
            for s in range(shots):
                bits[r, i, s] = uniforms[r, i, s] < 1 / (1 + np.exp(-logit[s]))
                sign[s] = 2.0 * bits[r, i, s] - 1.0
            for h in range(done, hidden):
                for s in range(shots):
                    activation[h, s] += sign[s] * W1[r, i, h]
    return bits


@functools.cache
def _compiled() -> Callable[..., Bits]:
    """`_draw` compiled by numba, which is imported with the first draw: it takes its time."""
    return njit()(_draw)
