"""ConvolutionalNetwork: the small network of 6,690 real weights whose weights Quantum-Train makes.

It is that of the published notebooks (github.com/Hon-Hai-Quantum-Computing/QuantumTrain, commit
d5b6541): two convolutions and two dense layers without activations, so that maxima of pooling are
all that is not linear in it.
"""

import math
from collections.abc import Sequence
from itertools import accumulate, pairwise

import numpy as np
import torch
from torch.nn.functional import conv2d, linear, max_pool2d

from classical.supervised import Classifier
from qhyper.errors import ConfigurationError
from qhyper.streams import Rngs

IMAGE, CLASSES = (28, 28), 10
"""Pixels of an image in each direction, and number of classes."""

_LAYERS = ((8, 1, 5, 5), (12, 8, 5, 5), (20, 12 * 4 * 4), (CLASSES, 20))
"""Shapes of the layers' weights, [out, in] or [out, in, row, column]; each unit has a bias too."""
_SHAPES = tuple(part for shape in _LAYERS for part in (shape, shape[:1]))
_ENDS = tuple(accumulate(math.prod(shape) for shape in _SHAPES))

N_WEIGHTS = _ENDS[-1]
"""Weights and biases of the network, 6,690."""


def convolutional_logits(weights: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Logits [row, class] of images x [row, 784] by a network of the given weights [N_WEIGHTS].

    Twice a convolution of 5 x 5 (1 to 8 and 8 to 12 channels) and the maxima of 2 x 2, then dense
    layers 192-20-10. Order of the weights: layer by layer, each [out, in, ...] row-major, then its
    biases: that of torch's `state_dict`.
    """
    parts = [
        weights[first:last].view(shape)
        for (first, last), shape in zip(pairwise((0, *_ENDS)), _SHAPES, strict=True)
    ]
    h = x.view(-1, 1, *IMAGE)
    for kernel, bias in (parts[0:2], parts[2:4]):
        h = max_pool2d(conv2d(h, kernel, bias), 2)
    h = h.flatten(1)
    for matrix, bias in (parts[4:6], parts[6:8]):
        h = linear(h, matrix, bias)
    return h


class ConvolutionalClassifier(Classifier):
    """A classifier of images, 28 x 28 and of ten classes, by `convolutional_logits`.

    Subclasses say whence the weights come. Raises ConfigurationError if there is no seed, and
    unless the dtype is torch.float32 or float64.
    """

    def __init__(self, *, seeds: Sequence[int], dtype: torch.dtype) -> None:
        if dtype not in (torch.float32, torch.float64):
            raise ConfigurationError(f"Got dtype={dtype}; expected torch.float32 or torch.float64.")
        super().__init__((math.prod(IMAGE), CLASSES), seeds=seeds, dtype=dtype)

    def weights(self) -> torch.Tensor:
        """The weights of the network, [replica, N_WEIGHTS] of its dtype."""
        raise NotImplementedError

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits [replica, row, class] of x [replica, row, pixel], or [row, pixel] for all.

        Raises ConfigurationError if x has another shape or dtype than the network.
        """
        pairs = zip(self.weights(), self._as_inputs(x), strict=True)
        return torch.stack([convolutional_logits(*pair) for pair in pairs])

    @property
    def n_trained(self) -> int:
        """Number of trained parameters of each replica."""
        return sum(parameter[0].numel() for parameter in self.parameters())

    def _uniform(self, rng: Rngs, shape: Sequence[int], limit: float) -> torch.Tensor:
        """U(-limit, limit) `[replica, *shape]`, each replica from its own stream."""
        drawn = np.stack([stream.uniform(-limit, limit, shape) for stream in rng])
        return torch.from_numpy(drawn).to(self.dtype)


class ConvolutionalNetwork(ConvolutionalClassifier):
    """The network itself: its weights, `own` [replica, N_WEIGHTS], are what is trained.

    They start at torch's default, U(-l, l) with l = 1/√(inputs of a unit), or are given.
    Raises ConfigurationError as ConvolutionalClassifier does, and for given weights of another
    shape.
    """

    def __init__(
        self,
        *,
        weights: torch.Tensor | None = None,
        seeds: Sequence[int] = (0,),
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__(seeds=seeds, dtype=dtype)
        if weights is None:
            rng = self._start()
            units = [(shape, 1 / math.sqrt(math.prod(shape[1:]))) for shape in _LAYERS]
            limits = [limit for _, limit in units for _ in range(2)]  # of weights, and of biases
            parts = zip(_SHAPES, limits, strict=True)
            weights = torch.cat([self._uniform(rng, [math.prod(s)], a) for s, a in parts], dim=1)
        if weights.shape != (self.replicas, N_WEIGHTS):
            raise ConfigurationError(
                f"Got weights of shape {tuple(weights.shape)}; expected [replica, weight] = "
                f"[{self.replicas}, {N_WEIGHTS}]: one row for each of the seeds."
            )
        self.own = torch.nn.Parameter(weights.detach().to(self.dtype, copy=True))

    def weights(self) -> torch.Tensor:
        """The weights of the network, [replica, N_WEIGHTS] of its dtype."""
        return self.own
