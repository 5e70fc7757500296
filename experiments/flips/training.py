"""Straight-through training of many binary networks at once, each step's bits told."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import cross_entropy
from torch.optim.lr_scheduler import CosineAnnealingLR

from classical.recu import tau_of_epoch, weight_sign
from classical.straight_through import StraightThroughNetwork, sign
from qhyper.bits import Bits
from qhyper.data.samples import Samples
from qhyper.streams import Streams

LAYERS = (4, 6, 2)

Optimiser = Literal["adam", "sgd"]
Limit = Literal["clip", "recu", "quantiles"]
Schedule = Literal["constant", "cosine"]

OPTIMISERS: dict[Optimiser, Callable[..., torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "sgd": partial(torch.optim.SGD, momentum=0.9),
}


@dataclass(frozen=True)
class Method:
    """One way to train.

    `limit` is what keeps latent weights within reach of a change of sign: `clip` to [-1, 1] after
    each step (Courbariaux et al. 2016); `recu` as it was released (`classical.recu`): standardised
    and clamped before the sign; `quantiles`, as Fontana (2022, eq. 4.1) prints it: after each step
    the latent weights of a layer are clamped at their own quantiles τ and 1 - τ.
    """

    optimiser: Optimiser
    limit: Limit
    schedule: Schedule


class _Trained(StraightThroughNetwork):
    """The network with its latent weights limited; `tau` is set before each step."""

    def __init__(self, limit: Limit, seeds: Sequence[int]) -> None:
        super().__init__(LAYERS, seeds=seeds)
        self.limit, self.tau = limit, 0.85

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first, second = self._signs()
        return torch.bmm(sign(torch.bmm(x, first)), second)

    def after_step(self) -> None:
        if self.limit == "clip":
            super().after_step()
        if self.limit == "quantiles":
            for latent in self.latent:
                latent.data = between_quantiles(latent.data, self.tau)

    def bits(self) -> Bits:
        with torch.no_grad():
            return self.space.encode([weight.numpy() for weight in self._signs()])

    def _signs(self) -> list[torch.Tensor]:
        if self.limit == "recu":
            return [weight_sign(standardised(latent, self.tau)) for latent in self.latent]
        return [sign(latent) for latent in self.latent]


def standardised(latent: torch.Tensor, tau: float) -> torch.Tensor:
    """`classical.recu.rectified` of every replica: latent [replica, in, out], a unit a filter."""
    centred = latent - latent.mean(1, keepdim=True)
    variance = centred.square().sum(1, keepdim=True) / (latent.shape[1] - 1)
    standard = 2 * math.sqrt(2) * centred / (variance + 1e-5).sqrt()
    limit = -standard.detach().abs().mean((1, 2), keepdim=True) * math.log(2 - 2 * tau)
    return standard.clamp(-limit, limit)


def between_quantiles(latent: torch.Tensor, tau: float) -> torch.Tensor:
    """max(min(w, Q_τ), Q_(1-τ)) with the quantiles of each replica's layer [replica, in, out]."""
    flat = latent.flatten(1)
    high, low = (torch.quantile(flat, q, dim=1)[:, None, None] for q in (tau, 1 - tau))
    return torch.maximum(torch.minimum(latent, high), low)


def train(
    data: Samples,
    method: Method,
    *,
    seeds: Sequence[int],
    rate: float,
    steps: int,
    batch: int,
    told: Callable[[int, Bits], None],
) -> npt.NDArray[np.float32]:
    """Train from every seed, a replica each.

    `told(step, bits)` gets the bits uint8 [seed, 36] of the start, step 0, and after each step. A
    seed's start and mini-batches, drawn with replacement, are the same at all rates and by all
    methods. Returns how far the latent weights lie from their start in the end, in the mean,
    float32 [seed].
    """
    network = _Trained(method.limit, seeds)
    rng = Streams(seeds)(0, "batch")
    x, y = torch.tensor(data.x, dtype=torch.float32), torch.tensor(data.y)
    start = [latent.detach().clone() for latent in network.latent]
    optimiser = OPTIMISERS[method.optimiser](network.parameters(), lr=rate)
    cosine = CosineAnnealingLR(optimiser, steps) if method.schedule == "cosine" else None
    told(0, network.bits())
    for step in range(steps):
        network.tau = tau_of_epoch(step, steps)
        rows = torch.from_numpy(np.stack([r.integers(len(y), size=batch) for r in rng]))
        logits = network(x[rows]).flatten(0, 1)
        optimiser.zero_grad()
        # summed over the replicas, so that each has the gradient of its own mean
        (cross_entropy(logits, y[rows].flatten(), reduction="sum") / batch).backward()
        optimiser.step()
        if cosine is not None:
            cosine.step()
        network.after_step()
        told(step + 1, network.bits())
    moved = [(w.detach() - s).abs().flatten(1) for w, s in zip(network.latent, start, strict=True)]
    return torch.cat(moved, dim=1).mean(1).numpy()
