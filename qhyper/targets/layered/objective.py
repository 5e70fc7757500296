"""The mean loss of a small layered network over a data set, on the kernel for its space."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from qhyper.bits import Bits, as_bits
from qhyper.data.samples import Samples
from qhyper.targets.batches import RowObjective
from qhyper.targets.layered.rows import first_signs
from qhyper.targets.loss import LossName
from qhyper.targets.objective import flips_by_evaluation
from qhyper.targets.sight import Sight, looked_at, sight
from qhyper.targets.target import Float, ObjectiveCapabilities

if TYPE_CHECKING:
    from qhyper.targets.layered.kernel import Kernel
    from qhyper.targets.layered.plain import PlainNetwork


class NetworkObjective(RowObjective):
    """The mean loss of a layered network over a data set; rows it cannot tell apart count once.

    Raises ConfigurationError if the data do not fit the network.
    """

    def __init__(self, network: "PlainNetwork", data: Samples, loss: LossName) -> None:
        network.check(data)
        self.network, self.data = network, data
        self.distinct = network.collapse(data)
        self.kernel = network.kernel(self.distinct)
        self._other: tuple[Samples, Kernel] | None = None
        self.capabilities = ObjectiveCapabilities(
            accuracy=True, mini_batches=True, flips=True, certificate=True, module=True,
            packed=network.space.plain and network.sign_of_zero == 1,
            sight=data.y.dtype.kind == "i",
        )  # fmt: skip
        super().__init__(
            None, network.n_bits, name=f"{loss} of {network}", loss=loss, layout=network.layout,
            n_rows=len(data.y),
        )  # fmt: skip

    @property
    def subject(self) -> str:
        """The network, in words."""
        return str(self.network)

    def describe(self, bits: npt.ArrayLike) -> str:
        """The network in words, where its bits are more than plain weights."""
        from qhyper.targets.layered.export import describe

        return "" if self.network.space.plain else describe(self.network, bits)

    def _evaluate(self, bits: Bits) -> npt.ArrayLike:
        return self.kernel.losses(bits, self.loss)  # type: ignore[arg-type]

    def accuracy(self, bits: npt.ArrayLike, samples: Samples | None = None) -> Float:
        """As in the protocol, on the kernel.

        Raises ConfigurationError if the samples do not fit the network.
        """
        kernel = self._kernel_for(samples)
        array = as_bits(bits, self.n_bits)
        errors = kernel.losses(array.reshape(-1, self.n_bits), "accuracy")
        return 1 - np.asarray(errors).reshape(array.shape[:-1])

    def _kernel_for(self, samples: Samples | None) -> "Kernel":
        """The kernel on any samples; the last one is kept, since the same are asked for again."""
        if samples is None or samples is self.data:
            return self.kernel
        if self._other is None or self._other[0] is not samples:
            self.network.check(samples)
            self._other = samples, self.network.kernel(self.network.collapse(samples))
        return self._other[1]

    def on_rows(self, rows: npt.NDArray[np.int64]) -> "_SomeRows":
        """The network on these rows alone."""
        kernel = self.network.kernel(self.distinct.take(rows, self.data.y[rows]))
        return _SomeRows(kernel, self.loss, len(rows))

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """The class of every row, int64 [row]."""
        return self.data.y

    def sight(self) -> Sight:
        """As in the protocol: by the signs of units of the first layer, if all hidden are signs."""
        rows, space = looked_at(len(self.data.y)), self.network.space
        x = self.data.x[rows]
        signs = space.activation == ("sign",) and len(space.layers) > 2
        if signs and "layers" not in space.optional:
            return sight(x, self.data.y[rows], first_signs(x, space, self.network.sign_of_zero))
        return sight(x, self.data.y[rows], x)

    def certify(
        self, *, temperature: float = 0.05, method: Any = "auto", progress: Any = None
    ) -> Any:
        """The Certificate of the landscape; see `qhyper.targets.exact.certificate.certify`."""
        from qhyper.targets.exact.certificate import certify

        return certify(
            self.network, self.data, loss=self.loss, temperature=temperature, method=method,
            progress=progress, rows=self.distinct,
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class _SomeRows:
    """A Scorer on the network's kernel."""

    kernel: "Kernel"
    loss: str
    n_rows: int

    def losses(self, bits: Bits) -> Float:
        return self.kernel.losses(np.ascontiguousarray(bits), self.loss)  # type: ignore[arg-type]

    def flips(self, bits: Bits) -> tuple[Float, Float]:
        def losses(strings: Bits) -> Float:
            flat = strings.reshape(-1, strings.shape[-1])
            return self.losses(flat).reshape(strings.shape[:-1])

        return flips_by_evaluation(losses, bits)
