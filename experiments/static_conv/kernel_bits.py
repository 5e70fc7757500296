"""KernelObjective: the bits of one binary kernel inside a trained network that stays as it is."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import conv2d, cross_entropy

from qhyper.bits import Bits
from qhyper.data.images import Images
from qhyper.targets.batches import RowObjective
from qhyper.targets.sign import Sign
from qhyper.targets.target import Float, ObjectiveCapabilities
from qhyper.threads import one_torch_thread

_TOGETHER = 2**25
"""Numbers after the convolution that are computed together, at the most."""


class KernelObjective(RowObjective):
    """Mean cross-entropy of images, by the kernel of a network's first binary convolution.

    The bits are the kernel [out, in, row, column] row by row, 1 for +1. `network` is one of plain
    layers; what stands before that convolution is worked out once, in float64, and what comes after
    in float32.
    """

    capabilities = ObjectiveCapabilities(accuracy=True, mini_batches=True)

    def __init__(self, network: torch.nn.Sequential, images: Images) -> None:
        layers = list(network)
        at = next(k for k, layer in enumerate(layers) if isinstance(layer, Sign)) + 1
        convolution: Any = layers[at]
        self.kernel: torch.Tensor = convolution.weight.detach()
        self.padding = convolution.padding
        self.after = torch.nn.Sequential(*layers[at + 1 :]).float()
        before = torch.nn.Sequential(*layers[:at])
        with one_torch_thread(), torch.no_grad():
            parts = torch.tensor(images.planes).split(500)
            self.maps = torch.cat([before(part.double()).to(torch.int8) for part in parts])
        self.classes = torch.tensor(images.labels)
        super().__init__(
            None, self.kernel.numel(), name="kernel of a trained network", loss="cross_entropy",
            n_rows=len(images),
        )  # fmt: skip

    @property
    def bits(self) -> Bits:
        """The kernel that the network was trained with, uint8 [bit]."""
        return (self.kernel.flatten() > 0).numpy().view(np.uint8)

    def on_rows(self, rows: npt.NDArray[np.int64]) -> "_Rows":
        """The target on these rows alone."""
        return _Rows(self, torch.from_numpy(rows))

    def accuracy(self, bits: npt.ArrayLike, samples: Any = None) -> Float:
        """Share of the images that are classified correctly, [...] of bits [..., bit]."""
        array = np.asarray(bits, dtype=np.uint8)
        flat = array.reshape(-1, self.n_bits)
        right = sum(
            (logits.argmax(-1) == classes).sum(1).double()
            for logits, classes in self.logits(flat, torch.arange(self.n_rows))
        )
        return (right / self.n_rows).numpy().reshape(array.shape[:-1])

    def _evaluate(self, bits: Bits) -> npt.ArrayLike:
        return self.on_rows(np.arange(self.n_rows)).losses(bits)

    @one_torch_thread()
    @torch.no_grad()
    def logits(self, bits: Bits, rows: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Logits [draw, row, class] and classes [row], for some of the rows at a time."""
        draws, kernel = len(bits), self.kernel
        weights = torch.from_numpy(2.0 * bits - 1).float().view(-1, *kernel.shape[1:])
        each = max(1, _TOGETHER // (draws * math.prod(self.maps.shape[1:])))
        found = []
        for chosen in rows.split(each):
            maps = self.maps[chosen].float().contiguous(memory_format=torch.channels_last)
            sums = conv2d(maps, weights, padding=self.padding)
            sums = sums.unflatten(1, (draws, len(kernel))).transpose(0, 1).flatten(0, 1)
            logits = self.after(sums.contiguous(memory_format=torch.channels_last))
            found.append((logits.unflatten(0, (draws, len(chosen))), self.classes[chosen]))
        return found


class _Rows:
    """The objective on some of its rows."""

    def __init__(self, objective: KernelObjective, rows: torch.Tensor) -> None:
        self.objective, self.rows = objective, rows
        self.n_rows = len(rows)

    def losses(self, bits: Bits) -> Float:
        """The mean loss over the rows, float64 [draw]."""
        total = np.zeros(len(bits))
        for logits, classes in self.objective.logits(bits, self.rows):
            own = classes.expand(len(bits), -1)
            losses = cross_entropy(logits.flatten(0, 1), own.flatten(), reduction="none")
            total += losses.double().view(len(bits), -1).sum(1).numpy()
        return total / self.n_rows

    def flips(self, bits: Bits) -> tuple[Float, Float]:
        """Not known but by evaluation."""
        raise NotImplementedError
