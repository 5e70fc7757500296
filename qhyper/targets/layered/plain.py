"""PlainNetwork: a layered network with its plain forward pass, the oracle of the kernels."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from qhyper.arrays import HUGE, as_float
from qhyper.data.samples import Samples, check_classes
from qhyper.errors import ConfigurationError
from qhyper.targets.layered.space import ACTIVATIONS, WeightSpace
from qhyper.targets.layout import Layout
from qhyper.targets.loss import check_loss, mean_losses, predictions

if TYPE_CHECKING:
    from qhyper.targets.layered.kernel import Kernel
    from qhyper.targets.layered.rows import Rows


class PlainNetwork:
    """A layered network whose weights, and other choices, are read from bits.

    By its `layers` alone it has weights in {-1, +1}, sign activations and no biases: hidden =
    sign(x W1), ..., logits = hidden W_last; softmax over the logits, or a sigmoid if there is one
    output. A WeightSpace in their place says what the bits stand for: biases, other values,
    activations, and which parts there are. `sign_of_zero` is +1, or 0 for reproducing others.
    Raises ConfigurationError for another one.
    """

    def __init__(self, layers: Sequence[int] | WeightSpace, *, sign_of_zero: int = 1) -> None:
        if sign_of_zero not in (0, 1):
            raise ConfigurationError(f"sign_of_zero is +1 or 0; got {sign_of_zero}.")
        self.space = layers if isinstance(layers, WeightSpace) else WeightSpace(layers)
        self.sign_of_zero = sign_of_zero

    @property
    def layers(self) -> tuple[int, ...]:
        """Units of every layer, inputs first."""
        return self.space.layers

    @property
    def n_bits(self) -> int:
        """Number of weights, and of what else is read from bits."""
        return self.space.n_bits

    @property
    def layout(self) -> Layout:
        """The blocks of the bits, in their order."""
        return self.space.layout

    @property
    def n_classes(self) -> int:
        """Number of classes: one output is a sigmoid between two classes."""
        return max(self.layers[-1], 2)

    def __repr__(self) -> str:
        zero = "" if self.sign_of_zero == 1 else ", sign_of_zero=0"
        what = self.layers if self.space.plain else self.space
        return f"{type(self).__name__}({what}{zero})"

    def sign(self, x: npt.NDArray) -> npt.NDArray:
        """-1 where x [...] is below zero, +1 above, `sign_of_zero` at zero; int64, same shape."""
        return np.where(x > 0, 1, np.where(x < 0, -1, self.sign_of_zero))

    def activate(self, name: str, x: npt.NDArray) -> npt.NDArray:
        """An activation of ACTIVATIONS, by name, of x float64 [...]: in the same shape and dtype.

        But for `sign`, which is int64.
        """
        if name == "sign":
            return self.sign(x)
        if name == "relu":
            return np.maximum(x, 0)
        return np.tanh(x) if name == "tanh" else expit(x)

    def logits(self, bits: npt.ArrayLike, x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Logits [..., row, output] of weights `bits` [..., n_bits] on inputs x [row, input].

        Plain and slow. Sums run over the inputs from left to right in float64, one at a time, and
        take the bias last, so that ties are decided the same way everywhere.
        """
        activations: npt.NDArray = as_float(x, "x", "numbers [row, input]")
        found = self.space.decode(bits)
        last = len(found.weights) - 1
        for layer, (weight, bias) in enumerate(zip(found.weights, found.biases, strict=True)):
            total = np.zeros((*weight.shape[:-2], activations.shape[-2], weight.shape[-1]))
            for i in range(weight.shape[-2]):
                total = total + activations[..., :, i, None] * weight[..., None, i, :]
            total = total + bias[..., None, :]
            if layer == last:
                break
            hidden = np.zeros_like(total)
            for name in self.space.activation:
                chosen = found.activation == ACTIVATIONS.index(name)
                hidden = np.where(chosen[..., None, None], self.activate(name, total), hidden)
            hidden = hidden * found.units[layer][..., None, :]
            if activations.shape[-1] == hidden.shape[-1]:
                present = found.layers[..., layer, None, None]
                hidden = np.where(present, hidden, activations)
            activations = hidden
        return total

    def losses(
        self, bits: npt.ArrayLike, data: Samples, loss: str = "cross_entropy"
    ) -> npt.NDArray[np.float64]:
        """Mean loss over `data` of each of bits [..., n_bits], float64 [...].

        By the plain forward pass.
        """
        self.check(data)
        return mean_losses(self.logits(bits, data.x), data.y, check_loss(loss))

    def accuracy(self, bits: npt.ArrayLike, data: Samples) -> npt.NDArray[np.float64]:
        """Share of `data` that each of bits [..., n_bits] classifies correctly, float64 [...]."""
        self.check(data)
        return (predictions(self.logits(bits, data.x)) == data.y).mean(axis=-1)

    def kernel(self, rows: "Rows") -> "Kernel":
        """The fast forward pass over the rows that `collapse` has made of a data set."""
        # numba is slow to import, and only whoever evaluates a network needs it
        from qhyper.targets.layered.dense_kernel import DenseKernel
        from qhyper.targets.layered.kernel import PackedKernel

        if self.space.plain:
            return PackedKernel(self.layers, rows, self.sign_of_zero)
        return DenseKernel(self.space, rows, self.sign_of_zero)

    def collapse(self, data: Samples) -> "Rows":
        """The rows of `data` that the network can tell apart, with counts per class."""
        from qhyper.targets.layered.rows import collapse, collapse_real

        if self.space.plain:
            return collapse(data, self.layers, self.sign_of_zero)
        return collapse_real(data, self.space, self.sign_of_zero)

    def check(self, data: Samples) -> None:
        """Raise ConfigurationError unless `data` has classes and fits the inputs and outputs."""
        if data.x.shape[1] != self.layers[0]:
            raise ConfigurationError(
                f"The data have {data.x.shape[1]} features, but the network {self.layers} has "
                f"{self.layers[0]} inputs. Choose layers that begin with {data.x.shape[1]}."
            )
        check_classes(data)
        if data.y.max() >= self.n_classes:
            raise ConfigurationError(
                f"The data have the label {data.y.max()}, but the network {self.layers} tells "
                f"{self.n_classes} classes apart: labels are 0 to {self.n_classes - 1}. Choose "
                "layers that end with the number of classes."
            )
        self._check_sums(max(float(data.x.max()), -float(data.x.min())))

    def _check_sums(self, size: float) -> None:
        """Raise ConfigurationError if sums of features up to `size` may leave float64's range."""
        features, space = size, self.space
        weight = max(abs(value) for pair in space.values for value in pair)
        for n_in, n_out in space.shapes:
            total = size * weight * n_in + weight * space.biases
            if not total < HUGE:
                raise ConfigurationError(
                    f"The features reach {features:.3g} in size and the weights {weight:.3g}, so "
                    f"that sums in {self} may leave the range of numbers; expected sums below "
                    f"{HUGE:g}. Scale the features, such as by dividing by their largest."
                )
            bounded = 1.0 if "relu" not in space.activation else max(total, 1.0)
            size = max(bounded, size) if n_in == n_out and "layers" in space.optional else bounded
