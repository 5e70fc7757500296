"""Supervised training of classifiers with a replica axis: all seeds in the same tensors."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import cross_entropy

from qhyper.data.samples import Samples, check_classes
from qhyper.errors import ConfigurationError
from qhyper.streams import Rngs, Streams
from qhyper.targets.layered.space import WeightSpace
from qhyper.targets.loss import predictions
from qhyper.threads import one_torch_thread

_CHUNK = 4096
"""Rows that `accuracy` computes at once."""


class Classifier(torch.nn.Module, ABC):
    """A classifier of given layers, one copy a seed.

    Subclasses make their parameters [replica, ...] in their constructor and give `forward`.
    Raises ConfigurationError if the layers are no WeightSpace, there is no seed, or the dtype is
    not one of real floating-point numbers.
    """

    def __init__(self, layers: Sequence[int], *, seeds: Sequence[int], dtype: torch.dtype) -> None:
        super().__init__()
        self.space = WeightSpace(layers)
        self.layers = self.space.layers
        if not len(seeds):
            raise ConfigurationError("A classifier needs at least one seed: one replica a seed.")
        if not dtype.is_floating_point:
            raise ConfigurationError(
                f"Got dtype={dtype}; expected floating-point numbers, such as torch.float32."
            )
        self.seeds = tuple(int(seed) for seed in seeds)
        self.dtype = dtype

    @property
    def replicas(self) -> int:
        """Number of independent copies, one a seed."""
        return len(self.seeds)

    @abstractmethod
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits [replica, row, class] of x [replica, row, feature], or [row, feature] for all.

        Raises ConfigurationError if x has another shape or dtype than the classifier.
        """

    def after_step(self) -> None:
        """What has to be done after each step of the optimiser: nothing, unless overridden."""

    def _start(self) -> Rngs:
        """The random generators of the start, one a replica."""
        return Streams(self.seeds)(0, "initialise")

    def _glorot(self, rng: Rngs, n_in: int, n_out: int) -> torch.nn.Parameter:
        """A matrix [replica, in, out] of U(-l, l), l = √(6 / (in + out)) (Glorot, Bengio 2010)."""
        limit = np.sqrt(6 / (n_in + n_out))
        start = np.stack([stream.uniform(-limit, limit, (n_in, n_out)) for stream in rng])
        return torch.nn.Parameter(torch.from_numpy(start).to(self.dtype))

    def _as_inputs(self, x: torch.Tensor) -> torch.Tensor:
        """Inputs as [replica, row, feature], or ConfigurationError."""
        features = self.layers[0]
        if x.ndim == 2 and x.shape[1] == features:
            x = x.expand(self.replicas, -1, -1)
        if x.ndim != 3 or x.shape[0] != self.replicas or x.shape[2] != features:
            raise ConfigurationError(
                f"Got x of shape {tuple(x.shape)}; expected [row, {features}], or "
                f"[replica, row, feature] = [{self.replicas}, rows, {features}]."
            )
        if x.dtype != self.dtype:
            raise ConfigurationError(
                f"Got x of {x.dtype}, but the classifier computes in {self.dtype}. Pass "
                f"x.to({self.dtype})."
            )
        return x


def fit_classifier(
    classifier: Classifier,
    data: Samples,
    *,
    epochs: int,
    batch: int,
    learning_rate: float,
    orders: Sequence[int] | None = None,
    progress: Callable[[int, int], None] = lambda epoch, epochs: None,
) -> None:
    """Train every replica by Adam on the mean cross-entropy of its own batches.

    Each epoch visits every row once, in an order that the replica's own stream draws anew; the last
    batch may be smaller. `orders` are the seeds of these streams, one a replica: unless given, the
    classifier's, from which its start was drawn too. Replicas do not mix: the loss is the sum of
    their means, and which others are trained beside a replica changes its parameters by rounding
    alone. Adam (Kingma and Ba 2015) has ε = 1e-7, as in Keras; `learning_rate` is that of all its
    steps. `progress(epoch, epochs)` is called after every epoch, from 1 on. A second call begins
    anew with Adam's averages and the order of the rows.

    Raises ConfigurationError if epochs or batch < 1, unless learning_rate is finite and above 0,
    unless there is one order a replica, if the data do not fit the layers, or once a parameter is
    no longer finite.
    """
    if epochs < 1 or batch < 1:
        raise ConfigurationError(
            f"Training needs epochs and batch of 1 or more; got epochs={epochs} and batch={batch}."
        )
    if not 0 < learning_rate < np.inf:
        raise ConfigurationError(
            f"learning_rate is a finite number above 0, such as 0.01; got {learning_rate}."
        )
    streams = Streams(classifier.seeds if orders is None else orders)
    if len(streams.seeds) != classifier.replicas:
        raise ConfigurationError(
            f"Got {len(streams.seeds)} orders for {classifier.replicas} replicas; expected a seed "
            "of the order of batches for each."
        )
    with one_torch_thread():
        x, y = _tensors(classifier, data)
        parameters = list(classifier.parameters())
        optimiser = torch.optim.Adam(parameters, lr=learning_rate, eps=1e-7, fused=True)
        for epoch in range(epochs):
            for rows, labels in _batches(x, y, batch, streams(epoch, "draw")):
                logits = classifier(rows).flatten(0, 1)
                loss = cross_entropy(logits, labels, reduction="sum")
                for parameter in parameters:  # quicker than zero_grad
                    parameter.grad = None
                loss.backward(loss.new_full((), 1 / rows.shape[1]))
                optimiser.step()
                classifier.after_step()
            _check_finite(classifier, epoch + 1)
            progress(epoch + 1, epochs)


def accuracy(classifier: Classifier, data: Samples) -> npt.NDArray[np.float64]:
    """Share of `data` that each replica classifies correctly, float64 [replica].

    Ties of logits, within 1e-9 as `BinaryNetwork` has them, go to the lower class; in float32 sums
    of real features are rounded by more than that. Raises ConfigurationError if the data do not
    fit the layers.
    """
    with one_torch_thread(), torch.no_grad():
        x, y = _tensors(classifier, data)
        right = torch.zeros(classifier.replicas, dtype=torch.int64, device=y.device)
        for rows, labels in zip(x.split(_CHUNK), y.split(_CHUNK), strict=True):
            found = torch.from_numpy(predictions(classifier(rows).double().cpu().numpy()))
            right += (found.to(y.device) == labels).sum(-1)
        return right.cpu().numpy() / len(y)


def _tensors(classifier: Classifier, data: Samples) -> tuple[torch.Tensor, torch.Tensor]:
    """x [row, feature] and y [row] on the classifier's device, if they fit its layers."""
    features, classes = classifier.layers[0], classifier.layers[-1]
    if data.x.shape[1] != features:
        raise ConfigurationError(
            f"The data have {data.x.shape[1]} features, but the classifier {classifier.layers} has "
            f"{features} inputs. Choose layers that begin with {data.x.shape[1]}."
        )
    check_classes(data)
    needed = max(int(data.y.max()) + 1, 2)
    if classes < needed:
        raise ConfigurationError(
            f"The data have labels up to {data.y.max()}, but the classifier {classifier.layers} "
            f"has {classes} outputs. Choose layers that end with {needed} or more: one output a "
            "class."
        )
    _check_range(data, classifier.dtype)
    device = next(classifier.parameters()).device
    x = torch.tensor(data.x, dtype=classifier.dtype, device=device)
    return x, torch.tensor(data.y, device=device)


def _check_range(data: Samples, dtype: torch.dtype) -> None:
    """Raise ConfigurationError unless the features, and squares of gradients, are numbers of it."""
    numbers, size = torch.finfo(dtype), max(float(data.x.max()), -float(data.x.min()))
    most = numbers.max ** (1 / 3)
    if size > most or 0 < size < numbers.tiny:
        raise ConfigurationError(
            f"The features reach {size:.3g} in size; training in {dtype} expects "
            f"{numbers.tiny:.3g} to {most:.3g}. Scale them, such as by dividing by their largest."
        )


def _batches(
    x: torch.Tensor, y: torch.Tensor, batch: int, rng: Rngs
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """All rows in an own order a replica: x [replica, row, feature], y [replica * row]."""
    drawn = np.stack([stream.permutation(len(y)) for stream in rng])
    order = torch.from_numpy(drawn).to(y.device)
    rows = x.index_select(0, order.flatten()).unflatten(0, order.shape)  # quicker than x[order]
    labels = (part.flatten() for part in y.take(order).split(batch, dim=1))
    return zip(rows.split(batch, dim=1), labels, strict=True)


def _check_finite(classifier: Classifier, epoch: int) -> None:
    if not all(bool(parameter.isfinite().all()) for parameter in classifier.parameters()):
        raise ConfigurationError(
            f"The parameters are no longer finite after epoch {epoch}. Choose a smaller "
            "learning_rate."
        )
