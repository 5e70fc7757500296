"""A hypernetwork is a distribution over weight bitstrings. Read this first.

Everything else in qhyper is a question asked of its draws. Axes, never squeezed:

- draws      [replica, input, shot, bit]
- log p      [replica, input, shot]
- parameters [replica, ...]

A replica is an independent copy with its own parameters and its own random stream; all seeds of
a comparison train together as replicas of one tensor program. An unconditional generator has one
input.
"""

import copy
import textwrap
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch

from qhyper.arrays import HUGE, as_float, counted, is_whole
from qhyper.bits import Bits, all_bitstrings, as_bits, to_string
from qhyper.errors import ConfigurationError
from qhyper.machine import torch_device
from qhyper.registry import build, find
from qhyper.streams import Rngs, Streams, check_rng

MAX_BITS_OF_PROBABILITIES = 20
MODE_BITS = 12
"""Of a block whose most probable string is looked up."""
_FEW = 4096
"""Numbers whose squares are summed up by one thread, and at once."""
_SHOWN_BITS = 40
"""Of a draw, as it is printed."""
_BLOCK = 32
"""Draws whose scores autograd computes together."""


@dataclass(frozen=True)
class Capabilities:
    """What a generator can do; estimators and reports ask here, never by type."""

    log_prob: bool = False
    """`log_prob` is exact and differentiable."""
    angles: bool = False
    """`HasAngles`: it has angles that obey the two-term shift rule."""
    probability_bits: int = 0
    """`probabilities` is exact and differentiable up to so many bits."""
    marginals: bool = False
    """`marginals` is exact and differentiable, whatever the number of bits"""
    independent: bool = False
    """bits are independent, given the input: `marginals` say all"""
    quantum: bool = False
    """The draws are measurements of a quantum circuit (simulated or real)."""
    mitigates: bool = False
    """It has `mitigated(bits, losses)`, where readout errors are undone in means of losses: see
    `qhyper.quantum.backend.Executable`."""


@dataclass(frozen=True)
class Draw:
    """Measured bitstrings: `bits` uint8 [replica, input, shot, bit], in weight order."""

    bits: Bits

    def __repr__(self) -> str:
        replicas, inputs, shots, n_bits = self.bits.shape
        sizes = ", ".join(
            [counted(replicas, "replica"), counted(inputs, "input"), counted(shots, "shot"),
             counted(n_bits, "bit")]
        )  # fmt: skip
        more = "…" * (n_bits > _SHOWN_BITS)
        first = to_string(self.bits[0, 0, 0, :_SHOWN_BITS]) if self.bits.size else "none"
        return f"Draw({sizes}; first {first}{more})"

    @property
    def shots(self) -> int:
        """Draws of each replica for each input."""
        return self.bits.shape[2]


@runtime_checkable
class HasAngles(Protocol):
    """A generator with angles: ∂E/∂angle = (E[angle + π/2] - E[angle - π/2]) / 2 for any loss."""

    def angles(self, *, inputs: Any = None) -> torch.Tensor:
        """The angles in radians, float64 [replica, input, angle], differentiable."""
        ...

    @property
    def trained_angles(self) -> npt.NDArray[np.int64]:
        """The numbers of the angles that depend on a parameter, int64 [trained angle]."""
        ...

    def sample_angles(self, angles: npt.NDArray[np.float64], shots: int, *, rng: Rngs) -> Bits:
        """Draws [replica, row, shot, bit] at angles [replica, row, angle] in radians, at once."""
        ...


class HyperNetwork(torch.nn.Module, ABC):
    """A distribution over bitstrings with parameters [replica, ...] and one seed a replica.

    Subclasses give `capabilities`, `_initialise`, `_sample` and, where they can, `_log_prob`.
    Their constructor takes `(n_bits, *, seeds, ...)`, and `layout` if they need the target's
    Layout; it calls this one, makes parameters [replica, ...] and ends with
    `self.initialise()`. With `n_inputs` > 0 the distribution depends on inputs of so many
    features: `inputs` is [input, feature], the same for all replicas, or [replica, input, feature].
    Raises ConfigurationError unless `n_bits` is 1 or more and there is a seed.
    """

    capabilities: Capabilities = Capabilities()
    recipe: Mapping[str, Any] = {}
    """Training settings that suit this generator: fields of `TrainingSettings`, and
    `start_steps`, how many steps one start needs."""

    def __init__(self, n_bits: int, *, seeds: Sequence[int] = (0,), n_inputs: int = 0) -> None:
        super().__init__()
        if not is_whole(n_bits, at_least=1):
            raise ConfigurationError(f"A generator needs at least 1 bit; got n_bits={n_bits!r}.")
        if not len(seeds):
            raise ConfigurationError("A generator needs at least one seed: one replica a seed.")
        self.n_bits = n_bits
        self.n_inputs = n_inputs
        self.seeds = tuple(int(seed) for seed in seeds)

    @property
    def replicas(self) -> int:
        """Number of independent copies, one a seed."""
        return len(self.seeds)

    @property
    def trained_parameters(self) -> list[torch.nn.Parameter]:
        """The parameters that are trained, each [replica, ...] and of a dtype of its own."""
        return [p for p in self.parameters() if p.requires_grad]

    @property
    def n_parameters(self) -> int:
        """Trained parameters of one replica."""
        return sum(p.numel() for p in self.trained_parameters) // self.replicas

    def describe(self) -> str:
        """One line on what this generator is, for reports."""
        return type(self).__name__

    def __repr__(self) -> str:
        sizes = [counted(self.n_bits, "bit"), counted(self.replicas, "replica")]
        if self.n_inputs:
            sizes.append(counted(self.n_inputs, "input feature"))
        sizes.append(f"{counted(self.n_parameters, 'parameter')} each")
        words = self.describe()
        if words != (name := type(self).__name__):
            indent = "  "
            words = textwrap.fill(
                words, 88, initial_indent=indent, subsequent_indent=indent, max_lines=3,
                placeholder=" …",
            )  # fmt: skip
            return f"{name}({', '.join(sizes)})\n{words}"
        return f"{name}({', '.join(sizes)})"

    def step_bytes(self, shots: int) -> int:
        """About how many bytes of memory `shots` draws of every replica take, with their log p.

        Parameters with gradients and two averages of an optimiser, and four numbers a drawn bit.
        """
        parameters = sum(p.numel() for p in self.parameters())
        return 8 * (4 * parameters + 4 * self.replicas * shots * self.n_bits)

    # -- parameters ---------------------------------------------------------------------------

    def initialise(self, restart: int = 0) -> None:
        """Draw the parameters anew; `restart` counts the starts inside a budget."""
        with torch.no_grad():
            self._initialise(Streams(self.seeds)(restart, "initialise"))

    @abstractmethod
    def _initialise(self, rng: Rngs) -> None:
        """Draw every parameter in place; `rng` has one NumPy generator a replica. No gradients."""

    def replica(self, index: int) -> Self:
        """A generator of one replica alone: a copy, with its seed and its parameters [1, ...].

        Raises ConfigurationError if there is no such replica, or if a parameter has no replica
        axis.
        """
        if not 0 <= index < self.replicas:
            raise ConfigurationError(
                f"{self.describe()} has no replica {index}; expected 0 to {self.replicas - 1}."
            )
        own: dict[int, Any] = {}
        for name, parameter in self.named_parameters():
            if parameter.ndim == 0 or len(parameter) != self.replicas:
                raise ConfigurationError(
                    f"The parameter '{name}' of {self.describe()} has shape "
                    f"{tuple(parameter.shape)}; expected [replica, ...] with {self.replicas} "
                    "replicas."
                )
            values = parameter.detach()[index : index + 1].clone()
            own[id(parameter)] = torch.nn.Parameter(values, parameter.requires_grad)
        alone = copy.deepcopy(self, own)  # wherever a parameter stands, its one replica does
        for module in alone.modules():
            if isinstance(module, HyperNetwork):  # itself, and those that it is made of
                module.seeds = (self.seeds[index],)
        return alone

    def check_parameters(self) -> None:
        """Raise ConfigurationError unless all parameters are finite, and below 1e100 in size.

        Whatever is asked of a generator asks this first: of a parameter that is NaN there are
        draws, but of no distribution.
        """
        with np.errstate(over="ignore"):
            sound = all(map(_sound, _parameters(self)))
        if not sound:
            short = {p.dtype for p in self.parameters() if p.dtype.itemsize < 4}
            do = "lower the learning_rate"
            if short:
                named = " and ".join(sorted(str(dtype).removeprefix("torch.") for dtype in short))
                do = f"make parameters float32, .float(), in place of {named}, too short to train"
            raise ConfigurationError(
                f"{self._unsound()}; expected finite numbers below {HUGE:g} in size. Where "
                f"training led there, {do}; or load a state that is sound."
            )

    def _unsound(self) -> str:
        """In words, the first number that `check_parameters` refuses."""
        for name, parameter in self.named_parameters():
            values = parameter.detach()
            wrong = (~(values.abs() < HUGE)).nonzero()
            if len(wrong):
                at = wrong[0].tolist()
                of_replica = values.ndim > 0 and len(values) == self.replicas
                seed = f", with seed {self.seeds[at[0]]}" if of_replica else ""
                value = values[tuple(at)].item()
                return f"The parameter '{name}' of {self.describe()} is {value:g} at {at}{seed}"
        raise AssertionError("all parameters are sound")

    # -- draws --------------------------------------------------------------------------------

    def sample(self, shots: int, *, rng: Rngs, inputs: Any = None) -> Draw:
        """Draw `shots` bitstrings for each replica and input; `rng` has one generator a replica.

        Raises ConfigurationError if `shots` < 1, or if `rng` does not fit the replicas.
        """
        if not is_whole(shots, at_least=1):
            raise ConfigurationError(
                f"shots must be at least 1; got {shots!r}, and expected a whole number."
            )
        inputs = self._as_inputs(inputs)
        check_rng(rng, self.replicas)
        with torch.no_grad():
            bits = self._sample(shots, rng, inputs)
        expected = (self.replicas, 1 if inputs is None else inputs.shape[1], shots, self.n_bits)
        if bits.shape != expected or bits.dtype != np.uint8:
            raise ConfigurationError(
                f"{type(self).__name__}._sample returned {bits.dtype} of shape {bits.shape}; "
                f"expected uint8 [replica, input, shot, bit] = {list(expected)}."
            )
        return Draw(bits)

    @abstractmethod
    def _sample(self, shots: int, rng: Rngs, inputs: torch.Tensor | None) -> Bits:
        """Draws, uint8 [replica, input, shot, bit]; a replica uses its own generator alone.

        Inputs are float64 [replica, input, feature], None for an unconditional generator.
        """

    # -- probabilities ------------------------------------------------------------------------

    def log_prob(self, bits: npt.ArrayLike, *, inputs: Any = None) -> torch.Tensor:
        """log p of bits [replica, input, shot, bit] as float64 [replica, input, shot].

        Differentiable in the parameters; -inf where a string is impossible. A replica axis of
        length 1 is shared by all replicas. Raises ConfigurationError if the generator has no
        log p or the bits have another shape.
        """
        if not self.capabilities.log_prob:
            raise ConfigurationError(
                f"{self.describe()} has no log p: it can only be sampled. Use an estimator that "
                "needs samples alone."
            )
        inputs = self._as_inputs(inputs)
        return self._checked_log_prob(self._checked(bits, inputs), inputs)

    def _checked_log_prob(self, bits: Bits, inputs: torch.Tensor | None) -> torch.Tensor:
        found = self._log_prob(bits, inputs)
        fits = isinstance(found, torch.Tensor) and found.shape == bits.shape[:-1]
        if not fits or found.dtype != torch.float64:
            kind = f"{found.dtype} of shape {list(found.shape)}" if hasattr(found, "shape") else ""
            raise ConfigurationError(
                f"{type(self).__name__}._log_prob returned {kind or repr(found)} for bits of shape "
                f"{list(bits.shape)}; expected a torch.float64 tensor, [replica, input, shot] = "
                f"{list(bits.shape[:-1])}: the log p of each string, summed over its bits, as "
                ".double()."
            )
        return found

    def _log_prob(self, bits: Bits, inputs: torch.Tensor | None) -> torch.Tensor:
        """The log p of checked bits, differentiable float64 [replica, input, shot]."""
        raise NotImplementedError

    def _checked(self, bits: npt.ArrayLike, inputs: torch.Tensor | None) -> Bits:
        """Bits that fit this generator, with one entry a replica, or ConfigurationError."""
        array = as_bits(bits, self.n_bits)
        n_inputs = 1 if inputs is None else inputs.shape[1]
        fits = array.ndim == 4 and array.shape[0] in (1, self.replicas)
        if not fits or array.shape[1] != n_inputs:
            own = "one input for an unconditional generator"
            raise ConfigurationError(
                f"Got bits of shape {array.shape}; expected [replica, input, shot, bit] with "
                f"{self.replicas} replicas (or 1, shared by all), {self.n_bits} bits, and "
                f"{own if inputs is None else f'{n_inputs} inputs'}."
            )
        if len(array) != self.replicas:
            array = np.repeat(array, self.replicas, axis=0)
        return array

    def accumulate_scores(
        self, bits: Bits, coefficients: npt.NDArray[np.float64], *, inputs: Any = None
    ) -> None:
        """Add Σ coefficients · ∇ log p(bits), per replica, to `.grad` of the parameters.

        bits [replica, input, shot, bit], coefficients [replica, input, shot].
        """
        log_p = self.log_prob(bits, inputs=inputs)
        torch.autograd.backward(log_p, torch.from_numpy(coefficients).to(log_p.device))

    def scores(self, bits: Bits, *, inputs: Any = None) -> npt.NDArray[np.float64]:
        """∇ log p of every draw, float64 [replica, input, shot, parameter].

        bits [replica, input, shot, bit]; parameters in the order of `parameters()`, flat.
        """
        rows = [  # a block of draws at a time: memory is quadratic in them
            self._scores(np.ascontiguousarray(bits[:, :, first : first + _BLOCK]), inputs)
            for first in range(0, bits.shape[2], _BLOCK)
        ]
        return np.concatenate(rows, axis=2)

    def _scores(self, bits: Bits, inputs: Any) -> npt.NDArray[np.float64]:
        log_p = self.log_prob(bits, inputs=inputs)
        trained = self.trained_parameters
        one = torch.eye(log_p[0].numel(), dtype=log_p.dtype, device=log_p.device)
        # replicas do not mix: the same draw of every replica in one backward pass
        ones = one.reshape(-1, 1, *log_p.shape[1:]).expand(-1, *log_p.shape)
        jacobians = torch.autograd.grad(
            log_p, trained, ones, is_grads_batched=True, allow_unused=True
        )
        flat = [
            (p.new_zeros(len(one), *p.shape) if j is None else j).reshape(
                len(one), self.replicas, -1
            )
            for j, p in zip(jacobians, trained, strict=True)
        ]
        rows = torch.cat(flat, dim=-1).transpose(0, 1)
        return rows.reshape(*log_p.shape, -1).double().cpu().numpy()

    def probabilities(self, *, inputs: Any = None) -> torch.Tensor:
        """p of every bitstring, float64 [replica, input, 2^n_bits]; bit 0 changes fastest.

        Differentiable up to `differentiable_bits`. Raises ConfigurationError past
        `max_probability_bits`.
        """
        inputs = self._as_inputs(inputs)
        if self.n_bits > self.max_probability_bits:
            raise ConfigurationError(
                f"All 2^{self.n_bits} probabilities of {self.describe()} are more than it can "
                f"give; the limit is {self.max_probability_bits} bits. Use sample or log_prob."
            )
        return self._probabilities(inputs)

    @property
    def differentiable_bits(self) -> int:
        """Up to how many bits `probabilities` has derivatives; 0 if never."""
        by_log_prob = MAX_BITS_OF_PROBABILITIES if self.capabilities.log_prob else 0
        return self.capabilities.probability_bits or by_log_prob

    @property
    def max_probability_bits(self) -> int:
        """Up to how many bits `probabilities` can be had; 0 if not at all."""
        return self.differentiable_bits

    def _probabilities(self, inputs: torch.Tensor | None) -> torch.Tensor:
        strings = all_bitstrings(self.n_bits)
        n_inputs = 1 if inputs is None else inputs.shape[1]
        every = np.broadcast_to(strings, (self.replicas, n_inputs, *strings.shape))
        return self._checked_log_prob(np.ascontiguousarray(every), inputs).exp()

    def marginals(self, *, inputs: Any = None) -> torch.Tensor:
        """The probability of a 1 of every bit, float64 [replica, input, bit], differentiable.

        Raises ConfigurationError if the generator does not give them.
        """
        inputs = self._as_inputs(inputs)
        if not self.has_marginals:
            raise ConfigurationError(
                f"{self.describe()} gives no exact probability of each bit. Use an estimator that "
                "needs log p or draws alone, such as score-function or spsa."
            )
        return self._marginals(inputs)

    @property
    def has_marginals(self) -> bool:
        """Whether `marginals` can be had: as such, or from all probabilities of few bits."""
        return self.capabilities.marginals or self.n_bits <= self.differentiable_bits

    def _marginals(self, inputs: torch.Tensor | None) -> torch.Tensor:
        strings = torch.from_numpy(all_bitstrings(self.n_bits).astype(np.float64))
        p = self._probabilities(inputs)
        return p @ strings.to(p.device)

    @property
    def independent_blocks(self) -> npt.NDArray[np.int64] | None:
        """Blocks of bits, int64 [block, bit], which do not depend on each other; None if unknown.

        Single bits where all are independent, else all bits as one block where there are few.
        Who has other blocks overrides `block_probabilities` and `block_expectation` with it.
        """
        if self.capabilities.independent:
            return np.arange(self.n_bits)[:, None]
        return np.arange(self.n_bits)[None] if self.n_bits <= self.differentiable_bits else None

    def block_probabilities(self) -> torch.Tensor:
        """p of every string of each independent block, float64 [replica, block, 2^m].

        Differentiable. The first bit of a block changes fastest. For a generator without inputs.
        """
        if self.capabilities.independent:
            p = self.marginals()[:, 0, :, None]
            return torch.cat([1 - p, p], dim=-1)
        return self.probabilities()

    def mode(self) -> Bits | None:
        """The most probable string, uint8 [replica, bit]; None where it is not to be had.

        That is of independent blocks of at most MODE_BITS bits, without inputs, and of exact
        probabilities. Of equally probable strings of a block, the first.
        """
        plan = None if self.n_inputs else self.independent_blocks
        known = self.capabilities.independent or self.capabilities.log_prob
        if plan is None or not known or plan.shape[1] > MODE_BITS:
            return None
        with torch.no_grad():
            number = self.block_probabilities().argmax(dim=-1).cpu().numpy()
        bits = np.empty((self.replicas, self.n_bits), np.uint8)
        bits[:, plan] = number[..., None] >> np.arange(plan.shape[1]) & 1
        return bits

    def block_expectation(self, costs: torch.Tensor) -> torch.Tensor:
        """Σ p · costs of each independent block, differentiable float64 [replica, block].

        costs float64 [replica, block, 2^m], as `block_probabilities`. For a generator without
        inputs.
        """
        if self.capabilities.independent:
            return (self.block_probabilities() * costs).sum(dim=-1)
        return self.expectation(costs)

    def expectation(self, costs: torch.Tensor, *, inputs: Any = None) -> torch.Tensor:
        """Σ p · costs, differentiable float64 [replica, input].

        costs [replica, input, 2^n_bits] are taken as float64.
        """
        p = self.probabilities(inputs=inputs)
        return (p * costs.to(p)).sum(-1)

    def _as_inputs(self, inputs: Any) -> torch.Tensor | None:
        """Inputs as float64 [replica, input, feature]; None if this generator takes none.

        Every question begins here, so that it checks the parameters too.
        """
        self.check_parameters()
        if self.n_inputs == 0:
            if inputs is not None:
                raise ConfigurationError(f"{self.describe()} is unconditional: it takes no inputs.")
            return None
        if inputs is None:
            raise ConfigurationError(
                f"{self.describe()} depends on inputs of {self.n_inputs} features; got none. Pass "
                "inputs [input, feature]."
            )
        if not isinstance(inputs, torch.Tensor):  # a copy: torch warns of read-only arrays
            given = as_float(inputs, "inputs", "finite numbers [input, feature]")
            inputs = torch.from_numpy(np.array(given))
        elif inputs.is_complex():
            raise ConfigurationError(f"Got inputs of {inputs.dtype}; expected real numbers.")
        array = inputs.to(torch.float64)
        if array.ndim == 2:
            array = array.expand(self.replicas, *array.shape)
        if array.ndim != 3 or array.shape[0] != self.replicas or array.shape[2] != self.n_inputs:
            raise ConfigurationError(
                f"Got inputs of shape {tuple(array.shape)}; expected [input, {self.n_inputs}], or "
                f"[replica, input, feature] = [{self.replicas}, inputs, {self.n_inputs}]."
            )
        if not (array.abs() < HUGE).all():
            raise ConfigurationError(
                "Inputs must be finite numbers; got NaN or infinity, or one of 1e100 or more."
            )
        return array


def _parameters(module: torch.nn.Module) -> Iterator[torch.nn.Parameter]:
    """As `module.parameters()`, at a fifth of its time: they are checked in every step."""
    yield from (p for p in module._parameters.values() if p is not None)
    for child in module._modules.values():
        if child is not None:
            yield from _parameters(child)


def _sound(parameter: torch.Tensor) -> bool:
    """Whether all numbers are finite, and below HUGE in size."""
    values: Any = parameter.detach()
    if values.is_cpu and values.dtype is torch.float64:
        values = values.numpy().reshape(-1)  # a quarter of the time that torch takes for so few
        if values.size <= _FEW and values.dot(values) < HUGE**2:
            return True
    elif not values.numel():
        return True
    low, high = values.min(), values.max()
    return bool(low > -HUGE) and bool(high < HUGE)  # false for NaN as well


def is_plain_module(found: Any) -> bool:
    """Whether it is the class of a torch module that is no generator by itself."""
    a_module = isinstance(found, type) and issubclass(found, torch.nn.Module)
    return a_module and not issubclass(found, HyperNetwork)


def build_generator(
    name: str,
    n_bits: int,
    *,
    seeds: Sequence[int] = (0,),
    layout: Any = None,
    options: Mapping[str, Any] | None = None,
    device: str = "cpu",
) -> HyperNetwork:
    """The generator registered as `name` (or `module:Class`), one replica a seed.

    A class that is a plain torch module is wrapped (`qhyper.compose.module.FromModule`).
    `layout`, the target's, goes to those that take it. `device` is the torch device of the
    parameters: cpu, cuda, cuda:1. Raises ConfigurationError for an unknown name or option, with
    the nearest known one, and for a device that torch cannot use here, with those that it can.
    """
    if device != "cpu":
        torch_device(device)
    found = find("generator", name)
    if is_plain_module(found):  # wrapped by what stands above this module
        options = {"module": found, "name": name, "options": options or {}}
        name = "qhyper.compose.module:from_module"
    generator = build(
        "generator", name, n_bits, options=options,
        given={"seeds": tuple(seeds)}, offered={"layout": layout},
    )  # fmt: skip
    if not isinstance(generator, HyperNetwork):
        raise ConfigurationError(
            f"'{name}' made a {type(generator).__name__}; expected a HyperNetwork. Subclass "
            "qhyper.HyperNetwork, or write a control with a `search` method."
        )
    return generator.to(device)
