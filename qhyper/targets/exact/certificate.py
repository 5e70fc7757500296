"""The exact certificate: the minimum, its multiplicity and the whole spectrum of a landscape.

Two methods, both exact:

- *enumeration*: the packed kernel evaluates every bitstring;
- *classes*: with one hidden layer, few inputs and one or two outputs, bitstrings are sorted into
  the few functions that they compute, with an exact count of the bitstrings of each (`classes`).
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from qhyper.arrays import HUGE, as_number, counted, is_whole
from qhyper.bits import Bits, all_bitstrings, to_string
from qhyper.data.samples import Samples
from qhyper.errors import ConfigurationError, UnsuitableError, unknown
from qhyper.progress import Share, share_shown
from qhyper.targets.exact.classes import FunctionClasses, RowTables
from qhyper.targets.layered.rows import MAX_PATTERN_INPUTS, Rows, collapse_patterns
from qhyper.targets.loss import (
    LOSSES,
    NOT_BY_ROW,
    LossName,
    check_loss,
    is_by_row,
    label_losses,
    predictions,
)
from qhyper.targets.target import SAME_LOSS, Objective

if TYPE_CHECKING:
    from qhyper.targets.layered.plain import PlainNetwork

MAX_BITS = 26
"""Enumeration takes up to 2^26 bitstrings, and classes up to as many functions. Memory grows with
the number of distinct losses: about 80 bytes for each at the peak, 16 for each in the certificate.
"""
MAX_ROWS_EVALUATED = 2**36
"""Bitstrings times distinct rows that enumeration takes on the dense kernel, or times all rows for
a loss that is not by row: about half an hour."""
MAX_HIDDEN = 32
"""Classes take up to this many hidden units."""

Method = Literal["auto", "classes", "enumeration"]

_SHOWN_BITS = 64
"""Of a bitstring in the table of a notebook."""
_CHUNK = 1 << 20
_SLOW_CHUNK = 1 << 14


@dataclass(frozen=True, eq=False)
class Certificate:
    """What is true of a landscape, over all 2^n_bits bitstrings.

    `temperature` is that of `log_Z`, in the unit of the loss.
    """

    n_bits: int
    functions: int | None
    """vectors k that were examined; None with enumeration, which does not tell functions apart"""
    method: str
    """classes or enumeration"""
    minimum_loss: float
    accuracy_at_minimum: float | None
    """accuracy of `optimum`: the best of all bitstrings that reach the minimum loss. This and the
    other accuracies are None if the objective is not a network's"""
    best_accuracy: float | None
    optimum: Bits
    """one bitstring that reaches the minimum loss, uint8 [n_bits]"""
    best_accuracy_bits: Bits | None
    """one bitstring that reaches the best accuracy, of the least loss, uint8 [n_bits]"""
    best_accuracy_bitstrings: int | None
    """how many bitstrings reach the best accuracy"""
    levels: npt.NDArray[np.float64]
    """the losses that occur, ascending, [level]; losses within 1e-9 of a level's lowest are one"""
    multiplicities: npt.NDArray
    """bitstrings of each level, [level]; int64, or Python integers if n_bits > 62"""
    temperature: float

    def __repr__(self) -> str:
        lines = [
            f"Certificate by {self.method}: all {self.configurations:,} strings of "
            f"{counted(self.n_bits, 'bit')}, {counted(len(self.levels), 'level')} of loss",
            f"  minimum loss {self.minimum_loss:.6g}, "
            f"of {counted(self.optimal_bitstrings, 'bitstring')}",
            f"  best accuracy {_share(self.best_accuracy)}, "
            f"at the minimum loss {_share(self.accuracy_at_minimum)}",
        ]
        return "\n".join(lines[: 2 if self.best_accuracy is None else 3])

    def _repr_html_(self) -> str:
        """A table of what `to_dict` gives, for notebooks."""
        rows = "".join(
            f"<tr><th style='text-align:left'>{name.replace('_', ' ')}</th>"
            f"<td style='text-align:left'><code>{_cell(value)}</code></td></tr>"
            for name, value in self.to_dict().items()
            if value is not None
        )
        return f"<table><caption>Certificate</caption><tbody>{rows}</tbody></table>"

    @property
    def configurations(self) -> int:
        """Number of bitstrings."""
        return 1 << self.n_bits

    @property
    def optimal_bitstrings(self) -> int:
        """How many bitstrings reach the minimum loss, within 1e-9."""
        return int(self.multiplicities[0])

    @property
    def uniform_hit_probability(self) -> float:
        """The chance that a uniform draw reaches the minimum loss."""
        return self.optimal_bitstrings / self.configurations

    @property
    def expected_draws(self) -> float:
        """Uniform draws until the minimum loss is reached, on average."""
        return self.configurations / self.optimal_bitstrings

    @property
    def log_Z(self) -> float:  # noqa: N802
        """`log_Z_at` the temperature of the certificate."""
        return self.log_Z_at(self.temperature)

    def log_Z_at(self, temperature: float) -> float:  # noqa: N802
        """The logarithm of Σ_w exp(-L(w) / T) over all bitstrings, exact to 1e-9 / T or better.

        `temperature` T is in the unit of the loss. Raises ConfigurationError unless it is a
        positive number, and if it is so low that the logarithm is beyond float64.
        """
        _check_temperature(temperature)
        with np.errstate(over="ignore"):  # of levels that count for nothing beside the lowest
            exponents = np.log(self.multiplicities.astype(np.float64)) - self.levels / temperature
        top = exponents.max()
        if not math.isfinite(top):
            raise ConfigurationError(
                f"log Z at the temperature {temperature:g} is beyond float64, with a minimum loss "
                f"of {self.minimum_loss:g}. Take a higher temperature."
            )
        return float(top + np.log(np.exp(exponents - top).sum()))

    def histogram(self, bins: int = 200) -> tuple[npt.NDArray[np.float64], list[int]]:
        """Bitstrings by loss: edges float64 [bins + 1] and exact counts [bins].

        A bin holds its lower edge, and the last one its upper edge too. Raises ConfigurationError
        unless `bins` is a whole number of 1 or more.
        """
        if not is_whole(bins, at_least=1):
            raise ConfigurationError(f"A histogram needs at least 1 bin; got bins={bins!r}.")
        edges = np.histogram_bin_edges(self.levels, bins)
        bounds = np.searchsorted(self.levels, edges)
        bounds[-1] = len(self.levels)
        below = np.concatenate([[0], np.cumsum(self.multiplicities)])
        return edges, [int(count) for count in np.diff(below[bounds])]

    def to_dict(self) -> dict[str, Any]:
        """The certificate as JSON can hold it, without the spectrum; bitstrings bit 0 first."""
        most = self.best_accuracy_bits
        return {
            "bits": self.n_bits,
            "configurations": self.configurations,
            "functions": self.functions,
            "method": self.method,
            "minimum_loss": self.minimum_loss,
            "accuracy_at_minimum": self.accuracy_at_minimum,
            "best_accuracy": self.best_accuracy,
            "optimal_bitstrings": self.optimal_bitstrings,
            "optimum": to_string(self.optimum),
            "best_accuracy_bitstrings": self.best_accuracy_bitstrings,
            "best_accuracy_optimum": None if most is None else to_string(most),
            "levels": len(self.levels),
            "temperature": self.temperature,
            "log_Z": self.log_Z,
            "uniform_hit_probability": self.uniform_hit_probability,
            "expected_draws": self.expected_draws,
        }


def _share(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.4f}"


def _cell(value: Any) -> str:
    """A value of a table: numbers with commas or in six digits, long bitstrings cut short."""
    if isinstance(value, int):
        return f"{value:,}" if value < 10**15 else f"{value:.6g}"
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return text if len(text) <= _SHOWN_BITS else f"{text[:_SHOWN_BITS]}…"


def certify(
    network: "PlainNetwork",
    data: Samples,
    *,
    loss: LossName | str = "cross_entropy",
    temperature: float = 0.05,
    method: Method = "auto",
    progress: Share | Literal[False] | None = None,
    rows: Rows | None = None,
) -> Certificate:
    """The certificate of `network` on `data`: its mean loss over all bitstrings, exactly.

    `temperature`, of log Z, is in the unit of the loss. `method` is `classes`, `enumeration`, or
    `auto`: classes if they apply, else enumeration. `progress` is called with the share done, up to
    1; unless told, a notebook shows it by itself, and False is silent. `rows` are those of
    `network.collapse(data)`, where they are known already.

    Raises ConfigurationError if the data do not fit the network, or if the method (each method, for
    `auto`) does not apply, with the reason.
    """
    network.check(data)
    loss = check_loss(loss)
    _check_temperature(temperature)
    rows = network.collapse(data) if rows is None else rows
    chosen = _choose(method, network, data, rows, loss)
    with share_shown(progress, "certify") as show:
        if chosen == "classes":
            survey, bits_of, functions = _by_classes(network, data, loss, show)
        else:
            survey, bits_of, functions = _by_enumeration(network, rows, loss, show)
    levels, multiplicities = survey.spectrum()
    lowest, most = survey.lowest(), survey.most_accurate()
    return Certificate(
        n_bits=network.n_bits,
        functions=functions,
        method=chosen,
        minimum_loss=float(levels[0]),
        accuracy_at_minimum=lowest.correct / len(data.y),
        best_accuracy=most.correct / len(data.y),
        optimum=bits_of(lowest.index),
        best_accuracy_bits=bits_of(most.index),
        best_accuracy_bitstrings=most.bitstrings,
        levels=levels,
        multiplicities=multiplicities,
        temperature=float(temperature),
    )


def certify_objective(
    objective: Objective,
    *,
    temperature: float = 0.05,
    progress: Share | Literal[False] | None = None,
    chunk: int = _CHUNK,
) -> Certificate:
    """The certificate of any objective, by enumeration; its evaluations count as evaluations.

    It has no accuracies. `chunk` bitstrings are evaluated together; `progress` is as for `certify`;
    `temperature`, of log Z, is in the unit of the loss.

    Raises ConfigurationError for a temperature that is not above 0, and UnsuitableError, which is
    one, if there are more than 2^26 bitstrings.
    """
    _check_temperature(temperature)
    n_bits = objective.n_bits
    if reason := _against_enumeration(n_bits):
        raise UnsuitableError(f"{objective.name} cannot be certified: {reason}. Choose fewer bits.")

    def evaluate(bits: Bits) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        return objective(bits), np.zeros(len(bits))

    with share_shown(progress, "certify") as show:
        survey = _enumerate(n_bits, evaluate, show, chunk)
    levels, multiplicities = survey.spectrum()
    return Certificate(
        n_bits=n_bits,
        functions=None,
        method="enumeration",
        minimum_loss=float(levels[0]),
        accuracy_at_minimum=None,
        best_accuracy=None,
        optimum=_bitstring(survey.lowest().index, n_bits),
        best_accuracy_bits=None,
        best_accuracy_bitstrings=None,
        levels=levels,
        multiplicities=multiplicities,
        temperature=float(temperature),
    )


def _check_temperature(temperature: float) -> None:
    if not 0 < as_number(temperature) < HUGE:
        raise ConfigurationError(
            f"A temperature is a positive number below {HUGE:g}; got {temperature!r:.40}. Choose "
            "one on the scale of the losses."
        )


# Which method


def _choose(method: str, network: "PlainNetwork", data: Samples, rows: Rows, loss: LossName) -> str:
    if method not in get_args(Method):
        raise unknown("method", method, get_args(Method))
    against = {
        "classes": _against_classes(network, loss),
        "enumeration": _against_enumeration(network.n_bits) or _against_rows(network, rows, loss),
    }
    for name in against if method == "auto" else (method,):
        if against[name] is None:
            return name
    if method == "auto":
        reasons = f"classes do not apply: {against['classes']}; enumeration does not apply: "
        reasons += f"{against['enumeration']}. {_smaller(network, data, loss)}"
        raise UnsuitableError(f"{network} cannot be certified: {reasons}")
    raise UnsuitableError(
        f"The method '{method}' does not apply to {network}: {against[method]}. "
        "Choose a smaller network, or method='auto' to take any method that applies."
    )


def _against_enumeration(n_bits: int) -> str | None:
    if n_bits <= MAX_BITS:
        return None
    return f"it has 2^{n_bits} bitstrings, and the limit is 2^{MAX_BITS}"


def _against_rows(network: "PlainNetwork", rows: Rows, loss: LossName) -> str | None:
    if network.space.plain and loss in LOSSES:
        return None
    by_row = is_by_row(loss, rows.counts.shape[1])
    n_rows = rows.n_rows if by_row else int(rows.counts.sum())
    if n_rows << network.n_bits <= MAX_ROWS_EVALUATED:
        return None
    why = "" if by_row else f" (all count, since '{loss}' {NOT_BY_ROW})"
    return (
        f"it has 2^{network.n_bits} bitstrings on {n_rows:,} {'distinct ' * by_row}rows{why}, and "
        "the limit for spaces with biases or choices, and for a loss of one's own, is "
        f"2^{MAX_ROWS_EVALUATED.bit_length() - 1} of both together"
    )


def _against_classes(network: "PlainNetwork", loss: LossName) -> str | None:
    layers = network.layers
    if not network.space.plain:
        return "they need weights of -1 and +1 alone, between signs, and its bits are more"
    if len(layers) != 3:
        return f"they need exactly one hidden layer, and it has {len(layers) - 2}"
    inputs, hidden, outputs = layers
    if outputs > 2:
        return f"they need one or two outputs, and it has {outputs}"
    if outputs == 2 and loss not in LOSSES:
        return (
            f"with two outputs they need a loss of the logits' difference, {', '.join(LOSSES)}, "
            f"and '{loss}' may be another"
        )
    if not is_by_row(loss, 2):
        return f"they need a loss of each row by itself, and '{loss}' {NOT_BY_ROW}"
    if inputs > MAX_PATTERN_INPUTS:
        return f"it has {inputs} inputs, and the limit is {MAX_PATTERN_INPUTS}"
    if hidden > MAX_HIDDEN:
        return f"it has {hidden} hidden units, and the limit is {MAX_HIDDEN}"
    functions = FunctionClasses.of(network).sizes[-1][-1]
    if functions > 1 << MAX_BITS:
        return f"it has {functions:,} function classes, and the limit is 2^{MAX_BITS}"
    return None


def _smaller(network: "PlainNetwork", data: Samples, loss: LossName) -> str:
    """What to choose in place of a network that cannot be certified: the nearest one that can."""
    for layers in _fewer(network.layers):
        if _provable(_with_layers(network, layers), data, loss):
            listed = ",".join(map(str, layers))
            return f"Choose a smaller network: --layers {listed} is the nearest that can be."
    inputs, *_, outputs = network.layers
    for fewer in range(inputs - 1, 0, -1):
        smallest = _with_layers(network, (fewer, 1, outputs))
        if smallest is not None and _against_enumeration(smallest.n_bits) is None:
            return (
                f"No network of {inputs} inputs can be: choose data of at most {fewer} features, "
                "and a smaller network."
            )
    return "Choose a smaller network, of fewer inputs and outputs."


def _fewer(layers: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """Layers with fewer hidden units, the nearest first; then fewer hidden layers; then none."""
    inputs, *hidden, outputs = layers
    for most in range(max(hidden, default=0) - 1, 0, -1):
        yield inputs, *(min(units, most) for units in hidden), outputs
    if len(hidden) > 1:
        for units in range(hidden[0], 0, -1):
            yield inputs, units, outputs
    if hidden:
        yield inputs, outputs


def _with_layers(network: "PlainNetwork", layers: tuple[int, ...]) -> "PlainNetwork | None":
    """The same kind of network with other layers; None where a choice would have no effect."""
    from qhyper.targets.layered.plain import PlainNetwork

    try:
        return PlainNetwork(replace(network.space, layers=layers))
    except ConfigurationError:
        return None


def _provable(network: "PlainNetwork | None", data: Samples | None, loss: LossName) -> bool:
    """Whether a network can be certified; without data, as far as its layers tell."""
    if network is None:
        return False
    if _against_classes(network, loss) is None:
        return True
    if _against_enumeration(network.n_bits) is not None:
        return False
    return data is None or _against_rows(network, network.collapse(data), loss) is None


def nearest_provable(layers: tuple[int, ...]) -> tuple[int, ...] | None:
    """These layers of plain weights, or the nearest that can be certified; None if none can."""
    from qhyper.targets.layered.plain import PlainNetwork

    plain = PlainNetwork(layers)
    nearest = (fewer for fewer in (layers, *_fewer(layers))
               if _provable(_with_layers(plain, fewer), None, "cross_entropy"))  # fmt: skip
    return next(nearest, None)


# What both methods collect


@dataclass(frozen=True)
class _Best:
    """The best function of a chunk in some respect."""

    index: int
    loss: float
    correct: int
    bitstrings: int
    """of all functions that are as good"""


class _Survey:
    """The spectrum of the functions seen so far, and the best of each chunk of them.

    `multiplicity[kind]` is the number of bitstrings of a function of that kind. Sums are exact:
    they are taken in int64, digit by digit if n_bits > 62: 2^26 digits below 2^32 do not overflow.
    """

    def __init__(self, multiplicity: list[int], n_bits: int) -> None:
        self._n_bits = n_bits
        self._width = 63 if n_bits <= 62 else 32
        count = n_bits // self._width + 1
        mask = (1 << self._width) - 1
        self._digits = np.array(
            [[ways >> self._width * d & mask for d in range(count)] for ways in multiplicity],
            dtype=np.int64,
        )
        self._merged = (np.empty(0), np.empty((0, count), dtype=np.int64))
        self._pending: list[tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]] = []
        self._lowest: list[_Best] = []
        self._most_accurate: list[_Best] = []

    def add(
        self,
        first: int,
        losses: npt.NDArray[np.float64],
        correct: npt.NDArray,
        kinds: npt.NDArray[np.int32],
    ) -> None:
        """Take in functions number `first` and on: loss, correct samples and kind of each."""
        digits = self._digits[kinds]

        def best(good: npt.NDArray[np.intp], i: int) -> _Best:
            bitstrings = self._whole(digits[good].sum(axis=0))
            return _Best(first + i, float(losses[i]), int(correct[i]), int(bitstrings))

        low = np.flatnonzero(losses <= losses.min() + SAME_LOSS)
        self._lowest.append(best(low, int(low[np.argmax(correct[low])])))
        high = np.flatnonzero(correct == correct.max())
        self._most_accurate.append(best(high, int(high[np.argmin(losses[high])])))
        self._pending.append(_sum_equal(losses, digits))
        if sum(len(levels) for levels, _ in self._pending) >= len(self._merged[0]):
            self._merge()

    def lowest(self) -> _Best:
        """The function of least loss; of those within 1e-9, the most accurate."""
        minimum = min(best.loss for best in self._lowest)
        near = [best for best in self._lowest if best.loss <= minimum + SAME_LOSS]
        return max(near, key=lambda best: best.correct)

    def most_accurate(self) -> _Best:
        """The function of best accuracy and least loss, with the bitstrings of that accuracy."""
        most = max(best.correct for best in self._most_accurate)
        equal = [best for best in self._most_accurate if best.correct == most]
        first = min(equal, key=lambda best: best.loss)
        total = sum(best.bitstrings for best in equal)
        return _Best(first.index, first.loss, first.correct, total)

    def spectrum(self) -> tuple[npt.NDArray[np.float64], npt.NDArray]:
        """Levels and their multiplicities, which sum to 2^n_bits."""
        self._merge()
        losses, digits = self._merged
        starts = _level_starts(losses)
        multiplicities = self._whole(np.add.reduceat(digits, starts, axis=0).T)
        if int(multiplicities.sum()) != 1 << self._n_bits:
            raise RuntimeError(
                f"Internal error: multiplicities sum to {int(multiplicities.sum())} instead of "
                f"2^{self._n_bits}. Please report it with the network and the data."
            )
        return losses[starts], multiplicities

    def _merge(self) -> None:
        losses, digits = zip(self._merged, *self._pending, strict=True)
        self._pending = []
        self._merged = _sum_equal(np.concatenate(losses), np.concatenate(digits))

    def _whole(self, digits: npt.NDArray[np.int64]) -> Any:
        """The integers whose digits [digit, ...] are given: int64, or Python's if too large."""
        if len(digits) == 1:
            return digits[0]
        return sum(digits[d].astype(object) << self._width * d for d in range(len(digits)))


def _sum_equal(
    losses: npt.NDArray[np.float64], digits: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Distinct losses, ascending, with the summed digits [loss, digit] of each."""
    order = np.argsort(losses, kind="stable")
    losses = losses[order]
    starts = np.flatnonzero(np.concatenate([[True], losses[1:] != losses[:-1]]))
    return losses[starts], np.add.reduceat(digits[order], starts, axis=0)


def _level_starts(losses: npt.NDArray[np.float64]) -> npt.NDArray[np.intp]:
    """Where levels begin in ascending `losses`: all within 1e-9 of a level's first are in it."""
    starts = np.flatnonzero(np.diff(losses, prepend=-np.inf) > SAME_LOSS)
    while True:  # cut off the first level of every run of losses that is wider than a level
        last = losses[np.append(starts[1:], len(losses)) - 1]
        ends = losses[starts] + SAME_LOSS
        wide = last > ends
        if not wide.any():
            return starts
        cuts = np.searchsorted(losses, ends[wide], side="right")
        starts = np.sort(np.concatenate([starts, cuts]))


_Result = tuple[_Survey, Callable[[int], Bits], int | None]
"""The survey, the bitstring of a function by its number, and the number of functions."""


def _chunks(total: int, progress: Share, size: int = _CHUNK) -> Iterator[tuple[int, int]]:
    """Bounds of consecutive chunks of range(total); reports the share done after each."""
    for start in range(0, total, size):
        stop = min(start + size, total)
        yield start, stop
        progress(stop / total)


# Enumeration


def _by_enumeration(
    network: "PlainNetwork", rows: Rows, loss: LossName, progress: Share
) -> _Result:
    n_bits, samples = network.n_bits, rows.counts.sum()
    kernel = network.kernel(rows)

    def evaluate(bits: Bits) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        wrong = kernel.losses(bits, "accuracy")
        losses = wrong if loss == "accuracy" else kernel.losses(bits, loss)
        return losses, np.rint(samples * (1 - wrong))

    chunk = _CHUNK if network.space.plain else _SLOW_CHUNK
    survey = _enumerate(n_bits, evaluate, progress, chunk)
    return survey, lambda index: _bitstring(index, n_bits), None


def _enumerate(
    n_bits: int,
    evaluate: Callable[[Bits], tuple[npt.NDArray, npt.NDArray]],
    progress: Share,
    chunk: int = _CHUNK,
) -> _Survey:
    """Survey all bitstrings; `evaluate` gives the loss and the correct samples of each."""
    survey = _Survey([1], n_bits)
    for start, stop in _chunks(1 << n_bits, progress, chunk):
        losses, correct = evaluate(all_bitstrings(n_bits, start, stop))
        survey.add(start, losses, correct, np.zeros(stop - start, dtype=np.int32))
    return survey


def _bitstring(index: int, n_bits: int) -> Bits:
    return all_bitstrings(n_bits, index, index + 1)[0]


def _by_classes(network: "PlainNetwork", data: Samples, loss: LossName, progress: Share) -> _Result:
    classes = FunctionClasses.of(network)
    hidden, functions = classes.hidden, classes.sizes[-1][-1]
    signs, counts = collapse_patterns(data, network.sign_of_zero)
    margins = classes.outputs * np.arange(-hidden, hidden + 1)[:, None]
    losses_of = counts @ label_losses(margins, loss).T / len(data.y)
    correct_of = counts.astype(np.int64)[:, predictions(margins)]

    multiplicities = classes.multiplicities()
    survey = _Survey(list(multiplicities.values()), network.n_bits)
    rows = RowTables(signs[: classes.entries], losses_of, correct_of)
    kinds = classes.kinds(multiplicities)
    for start, stop in _chunks(functions, progress):
        survey.add(start, *classes.evaluate(start, stop, kinds, rows))
    return survey, lambda index: classes.bits(index, network), functions
