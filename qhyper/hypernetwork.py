"""A hypernetwork is a distribution over weight bitstrings. Read this first.

Everything else in qhyper is a question asked of its draws. Axes, never squeezed:

- draws      [replica, input, shot, bit]
- log p      [replica, input, shot]
- parameters [replica, ...]

A replica is an independent copy with its own parameters and its own random stream; all seeds of
a comparison train together as replicas of one tensor program. An unconditional generator has one
input.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch

from qhyper.bits import Bits, all_bitstrings, as_bits
from qhyper.errors import ConfigurationError
from qhyper.streams import Rngs, Streams

MAX_BITS_OF_PROBABILITIES = 20


@dataclass(frozen=True)
class Capabilities:
    """What a generator can do; estimators and reports ask here, never by type."""

    log_prob: bool = False
    """`log_prob` is exact and differentiable."""
    quantum: bool = False
    """The draws are measurements of a quantum circuit (simulated or real)."""


@dataclass(frozen=True)
class Draw:
    """Measured bitstrings: `bits` uint8 [replica, input, shot, bit], in weight order."""

    bits: Bits

    @property
    def shots(self) -> int:
        """Draws of each replica for each input."""
        return self.bits.shape[2]


@runtime_checkable
class HasScores(Protocol):
    """A generator whose scores, the gradients of log p, can be accumulated."""

    def accumulate_scores(
        self, bits: Bits, coefficients: npt.NDArray[np.float64], *, inputs: Any = None
    ) -> None:
        """Add Σ coefficients · ∇ log p(bits) to `.grad` of the parameters."""
        ...


class HyperNetwork(torch.nn.Module, ABC):
    """A distribution over bitstrings with parameters [replica, ...] and one seed a replica.

    Subclasses give `capabilities`, `_initialise`, `_sample` and, where they can, `_log_prob`.
    Their constructor takes `(n_bits, *, seeds, ...)`, and `space` if they need the target's
    WeightSpace; it calls this one, makes parameters [replica, ...] and ends with
    `self.initialise()`.
    """

    capabilities: ClassVar[Capabilities] = Capabilities()
    recipe: Mapping[str, Any] = {}
    """Training settings that suit this generator: fields of `TrainingSettings`, and
    `start_evaluations`, how many evaluations one start needs."""

    def __init__(self, n_bits: int, *, seeds: Sequence[int] = (0,), n_inputs: int = 0) -> None:
        super().__init__()
        if n_bits < 1:
            raise ConfigurationError(f"A generator needs at least 1 bit; got n_bits={n_bits}.")
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
    def n_parameters(self) -> int:
        """Trained parameters of one replica."""
        return sum(p.numel() for p in self.parameters() if p.requires_grad) // self.replicas

    def describe(self) -> str:
        """One line on what this generator is, for reports."""
        return type(self).__name__

    # -- parameters ---------------------------------------------------------------------------

    def initialise(self, restart: int = 0) -> None:
        """Draw the parameters anew; `restart` counts the starts inside a budget."""
        with torch.no_grad():
            self._initialise(Streams(self.seeds)(restart, "initialise"))

    @abstractmethod
    def _initialise(self, rng: Rngs) -> None:
        """Draw every parameter in place; `rng` has one NumPy generator a replica. No gradients."""

    # -- draws --------------------------------------------------------------------------------

    def sample(self, shots: int, *, rng: Rngs, inputs: Any = None) -> Draw:
        """Draw `shots` bitstrings for each replica and input; `rng` has one generator a replica.

        Raises ConfigurationError if `shots` < 1, or if `rng` does not fit the replicas.
        """
        if shots < 1:
            raise ConfigurationError(f"shots must be at least 1; got {shots}.")
        self._check_inputs(inputs)
        if len(rng) != self.replicas:
            raise ConfigurationError(
                f"Got {len(rng)} random generators for {self.replicas} replicas; expected one a "
                "replica, such as Streams(generator.seeds)(step)."
            )
        with torch.no_grad():
            bits = self._sample(shots, rng, inputs)
        expected = (self.replicas, shots, self.n_bits)
        if bits.ndim != 4 or (bits.shape[0], *bits.shape[2:]) != expected or bits.dtype != np.uint8:
            raise ConfigurationError(
                f"{type(self).__name__}._sample returned {bits.dtype} of shape {bits.shape}; "
                f"expected uint8 [replica, input, shot, bit] = [{self.replicas}, inputs (1 if "
                f"unconditional), {shots}, {self.n_bits}]."
            )
        return Draw(bits)

    @abstractmethod
    def _sample(self, shots: int, rng: Rngs, inputs: Any) -> Bits:
        """Draws, uint8 [replica, input, shot, bit]; a replica uses its own generator alone."""

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
        return self._log_prob(self._checked(bits, inputs), inputs)

    def _log_prob(self, bits: Bits, inputs: Any) -> torch.Tensor:
        """The log p of checked bits, differentiable float64 [replica, input, shot]."""
        raise NotImplementedError

    def _checked(self, bits: npt.ArrayLike, inputs: Any) -> Bits:
        """Bits that fit this generator, with one entry a replica, or ConfigurationError."""
        self._check_inputs(inputs)
        array = as_bits(bits, self.n_bits)
        fits = array.ndim == 4 and array.shape[0] in (1, self.replicas)
        if not fits or (self.n_inputs == 0 and array.shape[1] != 1):
            raise ConfigurationError(
                f"Got bits of shape {array.shape}; expected [replica, input, shot, bit] with "
                f"{self.replicas} replicas (or 1, shared by all), {self.n_bits} bits, and one "
                "input for an unconditional generator."
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
        torch.autograd.backward(log_p, torch.from_numpy(coefficients))

    def probabilities(self, *, inputs: Any = None) -> torch.Tensor:
        """p of every bitstring, float64 [replica, input, 2^n_bits]; bit 0 changes fastest.

        Differentiable. Raises ConfigurationError past 20 bits.
        """
        if self.n_bits > MAX_BITS_OF_PROBABILITIES:
            raise ConfigurationError(
                f"All 2^{self.n_bits} probabilities do not fit; the limit is "
                f"{MAX_BITS_OF_PROBABILITIES} bits. Use sample or log_prob."
            )
        strings = all_bitstrings(self.n_bits)[None, None]
        return self.log_prob(strings, inputs=inputs).exp()

    def _check_inputs(self, inputs: Any) -> None:
        if self.n_inputs == 0 and inputs is not None:
            raise ConfigurationError(f"{self.describe()} is unconditional: it takes no inputs.")
