"""CallableTarget: a user's own loss of bits as a target, which needs no data."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from qhyper.errors import ConfigurationError
from qhyper.registry import load_object
from qhyper.targets.layout import Block, Layout
from qhyper.targets.objective import Objective


class CallableTarget:
    """Any function of bits [draws, bit] to one loss a draw, itself or as `module:function`.

    - function: the setting `objective` of a run
    - bits: how many bits it takes, the setting `bits`

    Its bits have no structure: one block. Raises ConfigurationError if the function cannot be
    loaded or called, or without the number of its bits.
    """

    def __init__(
        self, *, function: str | Callable[[npt.NDArray[np.int64]], npt.ArrayLike],
        bits: int | None = None,
    ) -> None:  # fmt: skip
        self.name = function if isinstance(function, str) else getattr(
            function, "__name__", "own objective"
        )  # fmt: skip
        if bits is None:
            raise ConfigurationError(
                f"The objective '{self.name}' needs the number of bits: set `bits` (--bits)."
            )
        self.function = load_object(function) if isinstance(function, str) else function
        if not callable(self.function):
            raise ConfigurationError(
                f"'{self.name}' is a {type(self.function).__name__}; expected a function of bits "
                "[draws, bit] that gives one loss a draw."
            )
        self.n_bits = bits

    @property
    def layout(self) -> Layout:
        """One block of bits."""
        return Layout((Block("bits", (self.n_bits,)),))

    def objective(self, data: None = None, loss: str | None = None) -> Objective:
        """The function as an objective; it takes no data, and is its own loss."""
        return Objective(self.function, self.n_bits, name=self.name, layout=self.layout)
