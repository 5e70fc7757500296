"""Any PennyLane device that takes a seed: draws, and where it has adjoint derivatives, all exactly.

PennyLane orders strings with wire 0 as the most significant bit, qhyper with qubit 0 changing
fastest. Inside, tables are in PennyLane's order and indices are computed for it; `_reversed` goes
from one to the other.

Derivatives of an expectation take one forward and one backward simulation on the lightning
devices (Jones and Gacon, 2020, arXiv:2009.02823). A derivative of the state itself is a state:
∂/∂θ exp(-iθP/2) = exp(-i(θ + π)P/2) / 2, so it is half of the state with π added to that angle.
"""

from functools import cached_property
from importlib.metadata import entry_points
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from qhyper.bits import Bits, as_bits
from qhyper.errors import ConfigurationError, MissingError, unknown
from qhyper.quantum.backend import (
    BackendCapabilities,
    Named,
    check_memory,
    checked_angles,
    footprints,
    state_vector_bytes,
)
from qhyper.quantum.circuit import Angle, Circuit, Gate
from qhyper.quantum.simulators.prepared import ByRow
from qhyper.streams import Rngs, check_rng

Complex = npt.NDArray[np.complex128]
Float = npt.NDArray[np.float64]

_GATES = {"rx": "RX", "ry": "RY", "rz": "RZ", "cx": "CNOT", "cz": "CZ"}
_PACKAGES = {
    f"lightning.{kind}": f"pennylane-lightning-{kind}"
    for kind in ("amdgpu", "gpu", "kokkos", "tensor")
}
"""Packages of devices, for whom they are not installed."""
_STATE_VECTORS = (
    "default.qubit",
    *(f"lightning.{kind}" for kind in ("qubit", "amdgpu", "gpu", "kokkos")),
)
_MATRICES = ("default.mixed", "reference.qubit")
"""These have numbers for each pair of strings: a density matrix, and gates as whole matrices."""
_UNFIT = (
    "default.clifford",
    "default.gaussian",
    "default.qutrit",
    "default.qutrit.mixed",
    "null.qubit",
)
"""PennyLane's own that cannot run our circuits: not of qubits, not of all angles, or not at all."""

# Measures 1100: qubits 0 and 1 are flipped, 2 is turned about itself and 3 is idle.
_TEST = Circuit(
    4,
    (
        Gate("rx", (0,), Angle(offset=np.pi)),
        Gate("cx", (0, 1)),
        Gate("rz", (2,), Angle(offset=1.0)),
        Gate("cz", (1, 2)),
        Gate("ry", (2,), Angle(offset=2 * np.pi)),
    ),
)


class PennyLaneBackend(Named):
    """The PennyLane device of a name, such as `lightning.qubit` or `default.mixed`.

    - device: the name after the colon

    Exact (log p, probabilities of up to 24 qubits, expectations) where the device has adjoint
    derivatives; else for sampling alone. Raises ConfigurationError for an unknown name, and for a
    device that does not measure a test circuit right or does not take a seed; MissingError for
    one whose package is not installed.
    """

    after_colon: ClassVar[str] = "device"
    forms: ClassVar[tuple[str, ...]] = ("pennylane:default.qubit", "pennylane:lightning.qubit")

    @staticmethod
    def installed() -> list[str]:
        """Names of the backends of the simulators of state vectors that are installed."""
        devices = {point.name for point in entry_points(group="pennylane.plugins")}
        exact = [n for n in sorted(devices) if n == "default.qubit" or n.startswith("lightning.")]
        return [f"pennylane:{name}" for name in exact]

    def __init__(self, device: str) -> None:
        import pennylane as qml
        from pennylane.devices import ExecutionConfig

        known = qml.plugin_devices
        if device not in known:
            if device not in _PACKAGES:
                raise unknown("PennyLane device", device, set(known) - set(_UNFIT))
            version = ".".join(qml.__version__.split(".")[:2])
            raise MissingError(
                f"The PennyLane device {device} is not installed. Install it: "
                f"pip install '{_PACKAGES[device]}=={version}.*'"
            )
        self.device = device
        exact = self._tested().supports_derivatives(ExecutionConfig(gradient_method="adjoint"))
        self.capabilities = BackendCapabilities(
            log_prob=exact, probability_bits=24 if exact else 0, expectation=exact
        )

    def __str__(self) -> str:
        return f"pennylane:{self.device}"

    def compile(self, circuit: Circuit, *, rows: int = 1) -> "PennyLaneCircuit":
        """The circuit, ready to run; rows run one after another, so `rows` does not matter.

        Raises ConfigurationError if a simulator whose memory is known would not have enough.
        """
        if self.device in _STATE_VECTORS:
            check_memory(circuit, str(self), footprints(circuit)["pennylane:lightning.qubit"])
        elif self.device in _MATRICES:
            check_memory(circuit, str(self), state_vector_bytes(2 * circuit.n_qubits, 3))
        return PennyLaneCircuit(self, circuit)

    def open(self, n_qubits: int, seed: int = 0) -> Any:
        """The PennyLane device itself, on wires 0 to n_qubits - 1."""
        import pennylane as qml

        return qml.device(self.device, wires=n_qubits, seed=seed)

    def _tested(self) -> Any:
        """A device, once the test circuit was measured right; the errors of the class if not."""
        angles = np.array([[[angle.offset for angle in _TEST.angles]]])
        try:
            device = self.open(_TEST.n_qubits)
            at = PennyLaneAt(PennyLaneCircuit(self, _TEST), angles)
            drawn = at.sample(3, [np.random.default_rng(0)])
        except ImportError as error:
            raise MissingError(
                f"The PennyLane device {self.device} needs something that is not installed: "
                f"{' '.join(str(error).split())}"
            ) from error
        except Exception as error:  # whatever a plugin raises
            raise self._unfit(f"{type(error).__name__}: {error}") from error
        if (drawn != [1, 1, 0, 0]).any():
            raise self._unfit(f"it measured {drawn[0, 0].tolist()}")
        return device

    def _unfit(self, reason: str) -> ConfigurationError:
        return ConfigurationError(
            f"The PennyLane device {self.device} cannot sample a test circuit that measures "
            f"[1, 1, 0, 0]: {reason}. Expected a device of qubits that takes `seed`, has the gates "
            "RX, RY, RZ, CNOT and CZ, and samples all its wires. Use pennylane:lightning.qubit."
        )


class PennyLaneCircuit:
    """A circuit on a PennyLane device: an `Executable`.

    Raises ConfigurationError for angles that do not fit the circuit or are not finite: devices
    would make draws of NaN.
    """

    def __init__(self, backend: PennyLaneBackend, circuit: Circuit) -> None:
        import pennylane as qml

        self.backend = backend
        self.n_angles, self.n_qubits = circuit.n_angles, circuit.n_qubits
        # gates without an angle are made once, rotations for every row
        self._gates = [
            (kind(wires=gate.qubits) if number is None else kind, gate.qubits, number)
            for gate, number in circuit.numbered()
            for kind in (getattr(qml, _GATES[gate.name]),)
        ]

    def at(self, angles: Float) -> "PennyLaneAt":
        """The circuit at angles [replica, row, angle] in radians; see `Executable`.

        `WithExpectation` where the device has adjoint derivatives.
        """
        exact = self.backend.capabilities.expectation
        return (ExactPennyLaneAt if exact else PennyLaneAt)(self, angles)

    def tape(self, row: Float, measurement: Any, **options: Any) -> Any:
        """The circuit at the angles `row` [angle] in radians, and what is measured of it."""
        from pennylane.tape import QuantumScript

        values = row.tolist()
        gates = [
            gate if number is None else gate(values[number], wires=qubits)
            for gate, qubits, number in self._gates
        ]
        return QuantumScript(gates, [measurement], **options)

    def state(self, row: Float) -> Complex:
        """The amplitudes [2^n] at the angles `row` [angle] in radians, qubit 0 changing slowest."""
        from pennylane.measurements import StateMP
        from pennylane.wires import Wires

        # all wires by name: else devices leave out the idle ones
        tape = self.tape(row, StateMP(wires=Wires(range(self.n_qubits))))
        (state,) = self._device.execute((tape,))
        return np.asarray(state)

    def derivatives(self, row: Float, diagonal: Float) -> tuple[float, Float]:
        """⟨diagonal⟩ and its derivatives [angle], at the angles `row` [angle] in radians.

        `diagonal` [2^n], qubit 0 changing slowest.
        """
        if self.backend.device.startswith("lightning."):
            return self._adjoint(row, diagonal)
        state = self.state(row)
        weighted = diagonal * state.conj()
        turned = (self.state(_turned(row, number)) for number in range(len(row)))
        derivatives = [(weighted @ other).real for other in turned]
        return float((weighted @ state).real), np.array(derivatives, dtype=np.float64)

    def _adjoint(self, row: Float, diagonal: Float) -> tuple[float, Float]:
        import pennylane as qml
        from pennylane.devices import ExecutionConfig

        every = np.arange(len(diagonal) + 1)
        matrix = csr_matrix((diagonal, every[:-1], every), shape=(len(diagonal),) * 2)
        matrix.eliminate_zeros()  # the diagonal of a score has few entries
        # The wires must be in order: in any other one lightning's derivatives are wrong.
        measurement = qml.expval(qml.SparseHamiltonian(matrix, wires=range(self.n_qubits)))
        tape = self.tape(row, measurement, trainable_params=range(len(row)))
        config = ExecutionConfig(gradient_method="adjoint")
        (value,), (jacobian,) = self._device.execute_and_compute_derivatives((tape,), config)
        return float(value), np.real(jacobian).reshape(len(row))

    def __getstate__(self) -> dict[str, Any]:
        """Of copies and files: without the device, which is opened anew."""
        return {key: value for key, value in vars(self).items() if key != "_device"}

    @cached_property
    def _device(self) -> Any:
        return self.backend.open(self.n_qubits)


class PennyLaneAt:
    """A circuit at angles, to be sampled: `Prepared`."""

    def __init__(self, circuit: PennyLaneCircuit, angles: Float) -> None:
        self._circuit, self.angles = circuit, checked_angles(angles, circuit.n_angles)

    def sample(self, shots: int, rng: Rngs) -> Bits:
        """As in `Prepared`, by a device of each replica with a seed from its generator."""
        import pennylane as qml

        if shots < 1:
            raise ConfigurationError(f"shots must be at least 1; got {shots}.")
        circuit, (replicas, rows, _) = self._circuit, self.angles.shape
        check_rng(rng, replicas)
        bits = np.empty((replicas, rows, shots, circuit.n_qubits), np.uint8)
        for replica, stream in enumerate(rng):
            device = circuit.backend.open(circuit.n_qubits, seed=int(stream.integers(2**63)))
            measurement = qml.sample(wires=range(circuit.n_qubits))
            tapes = [circuit.tape(row, measurement, shots=shots) for row in self.angles[replica]]
            # the device's generator goes on from tape to tape: equal rows have their own draws
            bits[replica] = np.reshape(device.execute(tuple(tapes)), bits.shape[1:])
        return bits


class ExactPennyLaneAt(PennyLaneAt):
    """A circuit at angles on a device with adjoint derivatives: `WithExpectation`, by its states.

    Small states are kept. Raises ConfigurationError for bits or costs that do not fit.
    """

    def __init__(self, circuit: PennyLaneCircuit, angles: Float) -> None:
        super().__init__(circuit, angles)
        self._states = ByRow(circuit.state, self.angles, state_vector_bytes(circuit.n_qubits))

    def log_prob(self, bits: Bits) -> Float:
        """As in WithExpectation, from the state of each row, whose rounding hides p below 1e-30."""
        index = self._index(bits)
        p = np.empty(bits.shape[:3])
        for place in np.ndindex(*self.angles.shape[:2]):
            p[place] = _squared(self._states[place][index[place]])
        with np.errstate(divide="ignore"):  # -inf is meant
            return np.log(p)

    def score(self, bits: Bits, coefficients: Float) -> Float:
        """As in WithExpectation: the derivatives of one expectation a row.

        Σ c ∂ log p(w) = Σ (c / p(w)) ∂p(w), a diagonal cost that is c / p at the strings w, held
        fixed, and 0 elsewhere. Impossible strings count 0.
        """
        index = self._index(bits)
        out = np.empty_like(self.angles)
        for place in np.ndindex(*self.angles.shape[:2]):
            at, row = index[place], self.angles[place]
            p = _squared(self._states[place][at])
            weights = np.divide(coefficients[place], p, out=np.zeros_like(p), where=p > 0)
            diagonal = np.zeros(1 << self._circuit.n_qubits)
            np.add.at(diagonal, at, weights)
            _, out[place] = self._circuit.derivatives(row, diagonal)
        return out

    def scores(self, bits: Bits) -> Float:
        """As in WithExpectation: one simulation for each angle, whatever the number of strings.

        ∂ log p / ∂θ = Re(ψ(θ + π) / ψ(θ)) at every string. Impossible strings have 0.
        """
        index = self._index(bits)
        out = np.zeros((*bits.shape[:3], self.angles.shape[-1]))
        for place in np.ndindex(*self.angles.shape[:2]):
            at, row = index[place], self.angles[place]
            here = self._states[place][at]
            possible = _squared(here) > 0
            for number in range(len(row)):
                turned = self._circuit.state(_turned(row, number))[at]
                out[(*place, possible, number)] = (turned[possible] / here[possible]).real
        return out

    def probabilities(self) -> Float:
        """As in WithExpectation."""
        out = np.empty((*self.angles.shape[:2], 1 << self._circuit.n_qubits))
        for place in np.ndindex(*self.angles.shape[:2]):
            out[place] = _reversed(_squared(self._states[place]), self._circuit.n_qubits)
        return out

    def expectation(self, costs: Float) -> tuple[Float, Float]:
        """As in WithExpectation; on lightning devices by one adjoint pass a row.

        On others by as many simulations as angles: default.qubit would make a matrix of 2^n by
        2^n of the costs.
        """
        expected = (*self.angles.shape[:2], 1 << self._circuit.n_qubits)
        if costs.shape != expected:
            raise ConfigurationError(
                f"Got costs of shape {costs.shape}; expected [replica, row, 2^n] = {expected}."
            )
        values, derivatives = np.empty(self.angles.shape[:2]), np.empty_like(self.angles)
        for place in np.ndindex(*self.angles.shape[:2]):
            row, diagonal = self.angles[place], _reversed(costs[place], self._circuit.n_qubits)
            values[place], derivatives[place] = self._circuit.derivatives(row, diagonal)
        return values, derivatives

    def _index(self, bits: Bits) -> npt.NDArray[np.int64]:
        """The numbers [replica, row, shot] of bits, qubit 0 changing slowest."""
        checked = as_bits(bits, self._circuit.n_qubits)
        if checked.ndim != 4 or checked.shape[:2] != self.angles.shape[:2]:
            raise ConfigurationError(
                f"Got bits of shape {bits.shape} for angles of shape {self.angles.shape}; expected "
                "[replica, row, shot, qubit] with the same replicas and rows."
            )
        return checked @ (1 << np.arange(self._circuit.n_qubits)[::-1])


def _squared(amplitudes: Complex) -> Float:
    return amplitudes.real**2 + amplitudes.imag**2


def _turned(row: Float, number: int) -> Float:
    """The angles [angle] with π added to one of them."""
    return row + np.pi * (np.arange(len(row)) == number)


def _reversed(table: Float, n: int) -> Float:
    """A copy of a table [2^n] whose qubit 0 changes fastest, changing slowest; or the reverse."""
    return table.reshape((2,) * n).T.flatten()
