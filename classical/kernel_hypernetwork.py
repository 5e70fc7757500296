"""KernelHyperNetwork: kernels of convolutions from learned embeddings, by a linear generator."""

import math

import numpy as np
import numpy.typing as npt
import torch

from qhyper.arrays import as_number, is_whole
from qhyper.errors import ConfigurationError

BASIC = 16
"""Channels in and out of a basic kernel, of which larger ones are put together."""


def count_kernels(c_in: int, c_out: int) -> int:
    """Basic kernels of a layer of c_in to c_out channels: (c_in / 16) (c_out / 16).

    Raises ConfigurationError for channels that are no multiple of 16.
    """
    for what, channels in (("in", c_in), ("out", c_out)):
        if not is_whole(channels, at_least=1) or channels % BASIC:
            raise ConfigurationError(
                f"Got a convolution of {c_in} to {c_out} channels, and {channels} channels {what} "
                f"are no multiple of the {BASIC} of a basic kernel. Choose multiples of {BASIC}, "
                "or give this layer a kernel of its own."
            )
    return (c_in // BASIC) * (c_out // BASIC)


def put_together(kernels: torch.Tensor, c_in: int, c_out: int) -> torch.Tensor:
    """A layer's kernel [c_out, c_in, row, column] of basic ones [kernel, 16, 16, row, column].

    The first c_in / 16 of them give the first 16 channels out, and so on. Raises
    ConfigurationError for channels that are no multiple of 16, and for another number or shape of
    kernels.
    """
    expected = (count_kernels(c_in, c_out), BASIC, BASIC)
    if kernels.ndim != 5 or tuple(kernels.shape[:3]) != expected:
        raise ConfigurationError(
            f"Got kernels of shape {tuple(kernels.shape)} for {c_in} to {c_out} channels; expected "
            f"[kernel, channel out, channel in, row, column] = {list(expected)} and two sizes."
        )
    blocks = kernels.unflatten(0, (c_out // BASIC, c_in // BASIC))
    return blocks.transpose(1, 2).flatten(2, 3).flatten(0, 1)


class KernelHyperNetwork(torch.nn.Module):
    """`kernels` basic kernels, 16 channels in and out and f x f, each of an embedding of its own.

    The two-layer linear generator of Ha, Dai and Le (2016, arXiv:1609.09106, eq. 4) in the sizes
    of the report *Hypernetworks* (Vineet, CS618). Of the embedding z of a kernel,

        a_i = W_i z + B_i,    K_i = <W_out, a_i> + B_out,    i = 1, ..., 16,

    where K_i, f x 16 f, are the weights of channel i of the input: element (r, 16-block o, c) is at
    row r and column o f + c. W_i, B_i, W_out and B_out are the same for all kernels. Parameters,
    float32, N_z = `embedding` and d = `projection`: `embeddings` [kernel, N_z], `W`
    [16, d, N_z], `B` [16, d], `W_out` [f, 16 f, d], `B_out` [f, 16 f].

    As all is linear, all kernels lie in an affine space of N_z dimensions, and the 16 slices of
    each in one of d dimensions, the same for all.

    The start is not printed. Unless told, embeddings are N(0, 1), W N(0, 1/N_z) and W_out
    N(0, 1/d), and the rest is 0: the numbers of the kernels have variance 1. With `start`, all but
    the biases are N(0, start²).

    Raises ConfigurationError unless all sizes are whole numbers of 1 or more, and for a start that
    is not a finite number above 0.
    """

    def __init__(
        self,
        *,
        embedding: int,
        projection: int,
        kernel: int,
        kernels: int,
        rng: np.random.Generator,
        start: float | None = None,
    ) -> None:
        super().__init__()
        sizes = {"embedding": embedding, "projection": projection, "kernel": kernel,
                 "kernels": kernels}  # fmt: skip
        for name, size in sizes.items():
            if not is_whole(size, at_least=1):
                raise ConfigurationError(f"Got {name}={size!r}; expected a whole number from 1.")
        if start is not None and not 0 < as_number(start) < math.inf:
            raise ConfigurationError(
                f"Got start={start!r}; expected the deviation of the first numbers, finite and "
                "above 0, such as 0.01, or None."
            )
        self.kernel = kernel

        def normal(shape: tuple[int, ...], scale: float) -> torch.nn.Parameter:
            return _parameter(rng.normal(0, scale if start is None else start, shape))

        self.embeddings = normal((kernels, embedding), 1.0)
        self.W = normal((BASIC, projection, embedding), 1 / math.sqrt(embedding))
        self.B = _parameter(np.zeros((BASIC, projection)))
        self.W_out = normal((kernel, BASIC * kernel, projection), 1 / math.sqrt(projection))
        self.B_out = _parameter(np.zeros((kernel, BASIC * kernel)))

    def forward(self) -> torch.Tensor:
        """All basic kernels, [kernel, channel out, channel in, row, column]."""
        f, d = self.kernel, self.B.shape[1]
        # one product each: [kernel, 16 d] and [kernel · 16, f · 16 f]
        a = torch.addmm(self.B.flatten(), self.embeddings, self.W.flatten(0, 1).T)
        slices = torch.addmm(self.B_out.flatten(), a.view(-1, d), self.W_out.flatten(0, 1).T)
        return slices.view(-1, BASIC, f, BASIC, f).permute(0, 3, 1, 2, 4)


def _parameter(start: npt.NDArray[np.float64]) -> torch.nn.Parameter:
    return torch.nn.Parameter(torch.from_numpy(start).float())
