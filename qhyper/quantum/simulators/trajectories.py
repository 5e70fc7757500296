"""Depolarising noise by trajectories: the mean over pure states with Pauli errors.

Depolarising noise is a mixture of Pauli strings (see `depolarising`), and a Pauli is, up to a
phase, rotations by π: X^a Z^b = Rx(aπ) Rz(bπ). So a trajectory of a noisy circuit is the circuit
with rotations added after its gates, whose angles are 0 or π. It runs on any exact simulator: as a
matrix product of the same bonds (but for gates that would else see `|0>` alone), and as a state
vector hardly slower, where neighbouring rotations are one matrix anyway. Its ⟨C⟩ is that of a whole
state, with exact derivatives, and varies far less than one shot does. (Averages over trajectories:
Dalibard, Castin and Mølmer, 1992.)
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from qhyper.bits import Bits
from qhyper.errors import ConfigurationError, unknown
from qhyper.quantum.backend import BackendCapabilities, Named, checked_angles
from qhyper.quantum.circuit import Angle, Circuit, Gate
from qhyper.quantum.simulators.depolarising import described, strengths
from qhyper.quantum.simulators.mps import MatrixProductBackend
from qhyper.quantum.simulators.state_vector import StateVectorBackend
from qhyper.streams import Rngs, check_rng

Float = npt.NDArray[np.float64]
Paulis = npt.NDArray[np.uint8]
"""[trajectory, rotation]: whether each added rotation is by π."""

SIMULATORS = {"statevector": StateVectorBackend, "mps": MatrixProductBackend}
_TOGETHER = 1024
"""Shots whose errors are drawn, and whose angles are kept, together."""


class TrajectoryBackend(Named):
    """Circuits with depolarising noise after their gates, as a mean over trajectories.

    - depolarising: p of ρ → (1 - p) ρ + p I / 2^k after every gate on its k qubits, as for
      `AerBackend`: one number, or {"one": p, "two": p} for gates of one and of two qubits. Every
      gate of the circuit counts, a rotation by 0 too. For the probability of a Pauli error, as
      PastaQ and Cirq have it, see `depolarising.strength`.
    - trajectories: how many of them ⟨C⟩ and the probabilities are the mean of.
    - seed: of these trajectories' errors.
    - simulator: `statevector`, or `mps`, which only samples, but 36 qubits and more.

    The errors behind ⟨C⟩ and the probabilities are drawn when a circuit is compiled, and are the
    same at all angles, for all replicas and rows. So ⟨C⟩ is a smooth function of the angles with
    exact derivatives, which methods such as L-BFGS need. Its optimum looks better than it is, as
    it was found on these very errors: judge it with another seed. Samples are not of this set:
    each shot has errors of its own.

    Raises ConfigurationError for a strength that is no probability, fewer trajectories than 1, a
    seed that is none, and an unknown simulator.
    """

    def __init__(
        self,
        *,
        depolarising: float | Mapping[str, float] = 0.0,
        trajectories: int = 100,
        seed: int = 0,
        simulator: str = "statevector",
    ) -> None:
        self.one, self.two = strengths(depolarising)
        self.trajectories = _whole("trajectories", trajectories, 1)
        self.seed = _whole("seed", seed, 0)
        if simulator not in SIMULATORS:
            raise unknown("simulator of trajectories", str(simulator), SIMULATORS)
        self.simulator = simulator
        inner = SIMULATORS[simulator].capabilities
        self.capabilities = BackendCapabilities(
            probability_bits=inner.probability_bits if inner.expectation else 0,
            expectation=inner.expectation,
        )

    def __str__(self) -> str:
        name = "trajectories" + f" by {self.simulator}" * (self.simulator != "statevector")
        if not self.one and not self.two:
            return name
        notes = [described(self.one, self.two)]
        if self.capabilities.expectation:
            notes.append(f"{self.trajectories} of seed {self.seed}")
        return f"{name} with {', '.join(notes)}"

    def compile(self, circuit: Circuit, *, rows: int = 1) -> "Trajectories":
        """The circuit, ready to run, with its errors drawn from the backend's seed.

        Raises ConfigurationError if it does not fit the simulator's memory.
        """
        return Trajectories(self, circuit, rows)


class Trajectories:
    """A noisy circuit: an `Executable`.

    Probabilities and ⟨C⟩ are of the backend's fixed trajectories, and missing with the simulator
    `mps`. Raises ConfigurationError if the circuit does not fit the simulator.
    """

    def __init__(self, backend: TrajectoryBackend, circuit: Circuit, rows: int) -> None:
        self.backend = backend
        self._errors = _Errors(circuit, backend.one, backend.two)
        try:
            inner = SIMULATORS[backend.simulator]()
            self._pure: Any = inner.compile(self._errors.circuit, rows=rows)
        except ConfigurationError as error:  # its advice would do without the noise
            raise ConfigurationError(
                f"The noisy circuit of {circuit.n_qubits} qubits does not fit the simulator "
                f"'{backend.simulator}' of the backend trajectories. Use simulator="
                f"'{'mps' if backend.simulator == 'statevector' else 'statevector'}', or fewer "
                "qubits or entangling gates."
            ) from error
        drawn = self._errors.draw(backend.trajectories, np.random.default_rng(backend.seed))
        self._distinct, self._which = _distinct(drawn)
        self._weights = np.bincount(self._which) / backend.trajectories

    def at(self, angles: Float) -> "TrajectoriesAt":
        """The circuit at angles [replica, row, angle] in radians; see `Executable`.

        Raises ConfigurationError if they do not fit.
        """
        return TrajectoriesAt(self, checked_angles(angles, len(self._errors.own)))

    def draw(self, angles: Float, stream: np.random.Generator, out: Bits) -> None:
        """Fill `out` [shot, qubit] with draws at angles [angle] in radians.

        Each draw has errors of its own.
        """
        own = angles[None, None]
        clean: Any = None  # one state for all shots without an error
        for first in range(0, len(out), _TOGETHER):
            part = out[first : first + _TOGETHER]
            paulis = self._errors.draw(len(part), stream)
            wrong = paulis.any(axis=1)
            if not wrong.all():
                if clean is None:
                    clean = self._pure.at(self._errors.angles(own, np.zeros_like(paulis[0])))
                part[~wrong] = clean.sample(int((~wrong).sum()), [stream])[0, 0]
            if wrong.any():
                failed = self._pure.at(self._errors.angles(own, paulis[wrong]))
                part[wrong] = failed.sample(1, [stream])[0, :, 0]

    def fixed(self, angles: Float) -> Iterator[tuple[float, Any]]:
        """The weight of each distinct fixed trajectory, and its pure circuit at the angles.

        These are checked angles [replica, row, angle] in radians. Raises ConfigurationError with
        the simulator mps.
        """
        if not self.backend.capabilities.expectation:
            raise ConfigurationError(
                f"The backend {self.backend} only samples. For probabilities and ⟨C⟩ take the "
                "simulator statevector, of up to 24 qubits."
            )
        return (
            (weight, self._pure.at(self._errors.angles(angles, paulis)))
            for weight, paulis in zip(self._weights, self._distinct, strict=True)
        )

    @property
    def n_qubits(self) -> int:
        """Number of qubits."""
        return self._errors.circuit.n_qubits

    @property
    def own(self) -> npt.NDArray[np.int64]:
        """Which of the rotations of a trajectory are the circuit's own, [angle]."""
        return self._errors.own

    @property
    def which(self) -> npt.NDArray[np.int64]:
        """The distinct trajectory that each of the backend's is, [trajectory]."""
        return self._which


class TrajectoriesAt:
    """A noisy circuit at angles, that has `probabilities` and `expectation` too.

    Each trajectory's state is simulated when it is needed, and not kept: there are many.
    """

    def __init__(self, circuit: Trajectories, angles: Float) -> None:
        self._circuit, self.angles = circuit, angles

    def sample(self, shots: int, rng: Rngs) -> Bits:
        """As in `Prepared`; every shot has Pauli errors of its own, drawn from `rng`.

        Raises ConfigurationError if `shots` < 1, or if the generators do not fit.
        """
        if shots < 1:
            raise ConfigurationError(f"shots must be at least 1; got {shots}.")
        check_rng(rng, len(self.angles))
        bits = np.empty((*self.angles.shape[:2], shots, self._circuit.n_qubits), np.uint8)
        for replica, stream in enumerate(rng):
            for row, angles in enumerate(self.angles[replica]):
                self._circuit.draw(angles, stream, bits[replica, row])
        return bits

    def probabilities(self) -> Float:
        """As in WithExpectation: the mean over the fixed trajectories.

        Raises ConfigurationError with the simulator mps.
        """
        fixed = self._circuit.fixed(self.angles)
        p = np.zeros((*self.angles.shape[:2], 1 << self._circuit.n_qubits))
        for weight, pure in fixed:
            p += weight * pure.probabilities()
        return p

    def expectation(self, costs: Float) -> tuple[Float, Float]:
        """As in WithExpectation: the mean over the fixed trajectories, and its derivatives.

        Raises ConfigurationError with the simulator mps.
        """
        fixed = self._circuit.fixed(self.angles)
        values, derivatives = np.zeros(self.angles.shape[:2]), np.zeros(self.angles.shape)
        for weight, pure in fixed:
            value, slopes = pure.expectation(costs)
            values += weight * value
            derivatives += weight * slopes[..., self._circuit.own]
        return values, derivatives

    def expectations(self, costs: Float) -> Float:
        """⟨C⟩ of every fixed trajectory, [replica, row, trajectory].

        costs [replica, row, 2^n], qubit 0 changing fastest. Their mean is that of `expectation`;
        their standard deviation over √trajectories is its standard error. Raises
        ConfigurationError as `expectation` does.
        """
        values = [
            (pure.probabilities() * costs).sum(axis=-1)
            for _, pure in self._circuit.fixed(self.angles)
        ]
        return np.stack(values, axis=-1)[..., self._circuit.which]


class _Errors:
    """The places of a circuit's errors: `circuit` has an Rz and an Rx in each of them.

    `own` are the numbers of the angles that the circuit had before, [angle].
    """

    def __init__(self, circuit: Circuit, one: float, two: float) -> None:
        gates: list[Gate] = []
        own: list[bool] = []
        chances: list[float] = []
        """[noisy gate]"""
        gate_of: list[int] = []
        """[added rotation]: its noisy gate"""
        for gate in circuit.gates:
            gates.append(gate)
            own += [True] * (gate.angle is not None)
            chance = one if len(gate.qubits) == 1 else two
            if not chance:
                continue
            added = [Gate(name, (q,), Angle()) for q in gate.qubits for name in ("rz", "rx")]
            gates += added
            own += [False] * len(added)
            gate_of += [len(chances)] * len(added)
            chances.append(chance)
        self.circuit = Circuit(circuit.n_qubits, tuple(gates))
        self.own = np.flatnonzero(own)
        self._added = np.flatnonzero(~np.array(own, dtype=bool))
        self._chances = np.array(chances)
        self._gate_of = np.array(gate_of, dtype=np.int64)

    def draw(self, trajectories: int, rng: np.random.Generator) -> Paulis:
        """The errors of so many trajectories: a gate fails or not, then all strings are alike."""
        fails = rng.random((trajectories, len(self._chances))) < self._chances
        turns = rng.integers(2, size=(trajectories, len(self._gate_of)), dtype=np.uint8)
        return turns * fails[:, self._gate_of]

    def angles(self, own: Float, paulis: Paulis) -> Float:
        """All angles [replica, row, rotation], of own [replica, row, angle] and their errors.

        `paulis` [rotation] for all rows, or [row, rotation].
        """
        rows = np.broadcast_shapes(own.shape[1:2], paulis.shape[:-1])
        out = np.empty((len(own), *rows, self.circuit.n_angles))
        out[..., self.own] = own
        out[..., self._added] = np.pi * paulis
        return out


def _distinct(paulis: Paulis) -> tuple[Paulis, npt.NDArray[np.int64]]:
    """Each pattern once, [pattern, rotation], and the pattern of every trajectory."""
    first: dict[bytes, int] = {}
    which = np.array([first.setdefault(row.tobytes(), len(first)) for row in paulis])
    _, where = np.unique(which, return_index=True)
    return paulis[where], which


def _whole(name: str, value: Any, least: int) -> int:
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not whole or value < least:
        raise ConfigurationError(
            f"{name} must be a whole number of at least {least}; got {value!r}."
        )
    return int(value)
