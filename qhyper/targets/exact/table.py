"""CostTable: an objective whose loss is known for every bitstring, and its Walsh spectrum."""

from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from qhyper.arrays import HUGE, as_float, counted
from qhyper.bits import Bits, all_bitstrings, pack
from qhyper.errors import ConfigurationError, MissingError, StorageError, UnsuitableError
from qhyper.progress import Share, share_shown
from qhyper.targets.exact.certificate import MAX_BITS
from qhyper.targets.layout import Block, Layout
from qhyper.targets.objective import Objective
from qhyper.targets.target import SAME_LOSS, ObjectiveCapabilities

Float = npt.NDArray[np.float64]

_CHUNK = 1 << 20


class CostTable(Objective):
    """The objective with the given `losses` [2^n_bits]; bit 0 changes fastest.

    Losses are looked up, and counted in `evaluations` as those of any objective. `losses` is a
    float64 copy that cannot be written to. Raises ConfigurationError unless there are 2^n finite
    losses, with n from 1 to 26.
    """

    capabilities = ObjectiveCapabilities(flips=True, certificate=True, table=True)

    def __init__(
        self,
        losses: npt.ArrayLike,
        *,
        name: str = "table of costs",
        layout: Layout | None = None,
    ) -> None:
        table = np.array(as_float(losses, "losses", "one number a bitstring"))
        n_bits = table.size.bit_length() - 1
        if table.ndim != 1 or not 1 <= n_bits <= MAX_BITS or table.size != 1 << n_bits:
            raise ConfigurationError(
                f"Got losses of shape {table.shape}; expected [2^n], one for each string of n "
                f"bits, with n from 1 to {MAX_BITS}."
            )
        sound = np.abs(table) < HUGE  # false for NaN as well
        if not sound.all():
            first = int(np.flatnonzero(~sound)[0])
            raise ConfigurationError(
                f"The loss of bitstring {first} is {table[first]}; a loss must be a finite number, "
                f"and below {HUGE:g} in size."
            )
        table.setflags(write=False)
        self.losses = table
        super().__init__(None, n_bits, name=name, layout=layout)

    def __repr__(self) -> str:
        return (
            f"CostTable({self.name}, {counted(self.n_bits, 'bit')}: losses {self.minimum:.6g} to "
            f"{self.losses.max():.6g}, the least of {counted(self.optimal, 'bitstring')})"
        )

    def _evaluate(self, bits: Bits) -> Float:
        return self.losses[pack(bits)[:, 0].astype(np.intp)]

    def certify(
        self, *, temperature: float = 0.05, method: str = "auto", progress: Any = None
    ) -> Any:
        """The Certificate; every loss is known, so that no evaluation is counted.

        `temperature`, of its log Z, is in the unit of the loss.
        """
        free = CostTable(self.losses, name=self.name)
        return Objective.certify(free, temperature=temperature, method=method, progress=progress)

    @cached_property
    def minimum(self) -> float:
        """The least loss."""
        return float(self.losses.min())

    @cached_property
    def optimum(self) -> Bits:
        """The first bitstring that has the least loss, within 1e-9; uint8 [n_bits]."""
        first = int((self.losses <= self.minimum + SAME_LOSS).argmax())
        return all_bitstrings(self.n_bits, first, first + 1)[0]

    @cached_property
    def optimal(self) -> int:
        """How many bitstrings have the least loss, within 1e-9."""
        return int((self.losses <= self.minimum + SAME_LOSS).sum())

    @cached_property
    def _ascending(self) -> Float:
        return np.sort(self.losses)

    def rank(self, losses: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """How many bitstrings lie below each of `losses` [...], by more than 1e-9; int64 [...].

        0 is a hit. Raises ConfigurationError for a loss that is not finite.
        """
        given = as_float(losses, "losses")
        if not np.isfinite(given).all():
            raise ConfigurationError("Got a loss that is not a finite number; it has no rank.")
        return np.searchsorted(self._ascending, given - SAME_LOSS).astype(np.int64)

    def walsh(self) -> Float:
        """The Walsh coefficients ĉ_S = 2^-n Σ_w c(w) Π_{i in S} z_i, z = 2w - 1; float64 [2^n].

        The set S is the bitstring of its members: bit i of the index tells whether i is in S. So
        c(w) = Σ_S ĉ_S Π_{i in S} z_i (O'Donnell, 2014, section 1), by the fast transform.
        """
        coefficients = self.losses / self.losses.size
        for bit in range(self.n_bits):
            pairs = coefficients.reshape(-1, 2, 1 << bit)
            minus, plus = pairs[:, 0], pairs[:, 1]  # z = -1 and z = +1
            total = minus + plus
            plus -= minus
            minus[:] = total
        return coefficients

    def body_shares(self) -> Float:
        """Share of the variance in terms of k bodies, k = 1 to n: float64 [n], of sum 1.

        `Σ_{|S| = k} ĉ_S² / Var c` over uniform bitstrings (O'Donnell, 2014, section 1.4). Raises
        ConfigurationError if all losses are one level, which has no variance to share.
        """
        if self.optimal == self.losses.size:
            raise ConfigurationError(
                f"All losses of {self.name} are {self.minimum:.6g}, within {SAME_LOSS:g}: there is "
                "no variance to share. Take another objective."
            )
        bodies = np.bitwise_count(np.arange(self.losses.size, dtype=np.uint32))
        by_bodies = np.bincount(bodies, weights=self.walsh() ** 2)[1:]
        return by_bodies / by_bodies.sum()


def tabulate(objective: Objective, *, progress: Share | Literal[False] | None = None) -> CostTable:
    """The table of `objective`, which evaluates every bitstring once.

    `progress` is called with the share done, up to 1; unless told, a notebook shows it by itself,
    and False is silent. Raises ConfigurationError for what is no
    Objective, and UnsuitableError if there are more than 2^26 bitstrings.
    """
    if not isinstance(objective, Objective):
        raise ConfigurationError(
            f"Got {type(objective).__name__} as the objective; expected an Objective, such as "
            "network.objective(data.train), or Objective(function, n_bits) of your own function."
        )
    n_bits = objective.n_bits
    if n_bits > MAX_BITS:
        raise UnsuitableError(
            f"{objective.name} cannot be tabulated: it has 2^{n_bits} bitstrings, and the limit is "
            f"2^{MAX_BITS}. Choose fewer bits."
        )
    size = 1 << n_bits
    losses = np.empty(size)
    with share_shown(progress, "tabulate") as show:
        for start in range(0, size, _CHUNK):
            stop = min(start + _CHUNK, size)
            losses[start:stop] = objective(all_bitstrings(n_bits, start, stop))
            show(stop / size)
    return CostTable(losses, name=objective.name)


class TableTarget:
    """A table of costs as a target, which needs no data.

    - path: a .npy file of 2^n losses, one for each string of n bits; bit 0 changes fastest

    Raises MissingError if there is no such file, StorageError if it is no array, and as CostTable.
    """

    def __init__(self, *, path: str | Path) -> None:
        path = Path(path)
        if not path.is_file():
            raise MissingError(f"There is no file {path.absolute()}. Check the path.")
        try:
            losses = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise StorageError(
                f"Cannot read {path}: {error}. Write an array of losses with numpy.save."
            ) from error
        self.table = CostTable(losses, name=f"table {path.name}")
        self.n_bits = self.table.n_bits

    @property
    def layout(self) -> Layout:
        """One block of bits."""
        return Layout((Block("bits", (self.n_bits,)),))

    def objective(self, data: None = None, loss: str | None = None) -> CostTable:
        """The table, with a count of its own; it takes no data, and is its own loss."""
        return CostTable(self.table.losses, name=self.table.name, layout=self.layout)
