"""What the studies of the hypernetwork thesis share: networks in the landscape, weights of images.

Thesis: E. Oey, "Hypernetworks for binary neural networks" (Leiden, 2023). Its network has 36 binary
weights, so that the loss of every one of the 2^36 is known from the certificate.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from classical.conditional import ConditionalBernoulli
from classical.straight_through import StraightThroughNetwork
from qhyper import (
    BinaryNetwork,
    Brickwork,
    Budget,
    Certificate,
    Dataset,
    HyperNetwork,
    QuantumHyperNetwork,
    Reuploading,
    Samples,
    train,
)
from qhyper.bits import Bits
from qhyper.targets.layered.conditional_batches import ScoredOn
from qhyper.targets.layered.objective import NetworkObjective
from qhyper.targets.target import SAME_LOSS
from qhyper.training.trainer import Trainer, settings_for

NETWORK = BinaryNetwork((4, 6, 2))
PRECISION = torch.float64
"""Of the straight-through networks: in float32, where a weight is often as near to zero as its
rounding, a training would end elsewhere on another processor."""


def thinned(whole: Dataset, every: int) -> Dataset:
    """One of so many training images, and all test images."""
    some = Samples(whole.train.x[::every], whole.train.y[::every])
    return Dataset(whole.name, train=some, test=whole.test)


# -- straight-through networks, and where they end -------------------------------------------------


class Watched(StraightThroughNetwork):
    """A 4-6-2 network that remembers its bits [run, bit] after each of the `last` steps."""

    def __init__(self, seeds: Sequence[int], *, last: int) -> None:
        super().__init__(NETWORK.layers, seeds=seeds, dtype=PRECISION)
        self.seen: deque[Bits] = deque(maxlen=last)

    def after_step(self) -> None:
        """Clip, and look."""
        super().after_step()
        signs = [latent.detach().flatten(1) >= 0 for latent in self.latent]  # quicker than bits()
        self.seen.append(torch.cat(signs, dim=1).numpy().astype(np.uint8))


def standing(
    bits: Bits, objective: NetworkObjective, certificate: Certificate
) -> dict[str, npt.NDArray]:
    """Where networks [run, bit] stand among all 2^36: arrays [run]."""
    losses = objective(bits)
    levels = np.searchsorted(certificate.levels, losses - SAME_LOSS)
    below = np.concatenate([[0.0], np.cumsum(certificate.multiplicities, dtype=np.float64)])
    _, second = NETWORK.space.decode(bits).weights
    return {
        "loss": losses,
        "levels_below": levels,
        "share_below": below[levels] / certificate.configurations,
        "null_units": (second[..., 0] == second[..., 1]).sum(axis=1),
    }


def proven(certificate: Certificate, test: Samples) -> dict[str, Any]:
    """What is proven of all 2^36 networks, and how many there are of each loss up to 2."""
    edges, counts = certificate.histogram(1200)
    low = int(np.searchsorted(edges, 2.0))
    return {
        "certificate": certificate.to_dict(),
        "test_accuracy": float(NETWORK.accuracy(certificate.optimum, test)),
        "spectrum": {"edges": edges[: low + 1].tolist(), "bitstrings": counts[:low]},
    }


# -- weights of an image's own, without gradients of the target ------------------------------------


def conditional(network: BinaryNetwork, *, depth: int | None, seeds: Sequence[int]) -> HyperNetwork:
    """w(x) from a circuit of `depth` that takes pixels as angles, or from a classical generator.

    The classical one (None) has the layers of the thesis' hypernetwork, with a draw in the place
    of rounding. Recipes were tuned on seeds 100 to 109, scored on mini-batches of 2 × 2 pixels, and
    that of circuits for depth 2.
    """
    pixels = network.layers[0]
    if depth is None:
        return ConditionalBernoulli(network.n_bits, n_inputs=pixels, hidden=16, seeds=seeds)
    ansatz = Reuploading(Brickwork(depth=depth), n_inputs=pixels)
    circuit = QuantumHyperNetwork(network.n_bits, ansatz=ansatz, layout=network.layout, seeds=seeds)
    circuit.recipe = {"draws": 8, "learning_rate": 0.1, "start_steps": 585}
    return circuit


def train_conditional(
    generator: HyperNetwork,
    network: BinaryNetwork,
    data: Samples,
    *,
    evaluations: int,
    scored_on: ScoredOn = "own",
    training: Mapping[str, Any] | None = None,
) -> Trainer:
    """Train by mini-batches of 32, with so many evaluations a seed.

    Unless `training` says otherwise, a budget has as many starts as fit, and the best one is kept.
    """
    batches = network.batches(data, size=32, scored_on=scored_on)
    budget = Budget(evaluations=evaluations)
    settings = settings_for(generator, training or {}, budget, n_inputs=batches.size)
    return train(generator, batches, settings)


def own_accuracy(network: BinaryNetwork, data: Samples, bits: Bits) -> npt.NDArray[np.float64]:
    """Share of `data` that is classified by its own weights, bits [run, image, bit]: [run]."""
    every = np.broadcast_to(np.arange(len(data.y)), bits.shape[:2])
    judged = network.batches(data, size=len(data.y), scored_on="own", loss="accuracy")
    return 1 - judged.take(every)(bits[:, :, None]).mean(axis=(1, 2))
