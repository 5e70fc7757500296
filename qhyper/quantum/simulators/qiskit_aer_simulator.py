"""Qiskit Aer: sampling by state vector, matrix product or density matrix, with noise if asked.

A circuit is built once, with a parameter for each angle. All rows of angles of a replica are one
Aer run, seeded from that replica's own generator.
"""

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from qhyper.bits import Bits, n_words, unpack
from qhyper.errors import ConfigurationError, unknown
from qhyper.machine import needs
from qhyper.quantum.backend import (
    BackendCapabilities,
    Named,
    check_memory,
    checked_angles,
    matrix_product_bonds,
    matrix_product_bytes,
    state_vector_bytes,
)
from qhyper.quantum.circuit import ROTATIONS, TWO_QUBIT_GATES, Circuit
from qhyper.quantum.qiskit_circuits import qiskit_with_angles
from qhyper.quantum.simulators.depolarising import described, probability, strengths
from qhyper.streams import Rngs, check_rng

Float = npt.NDArray[np.float64]

METHODS = ("statevector", "matrix_product_state", "density_matrix")
_PARALLEL_QUBITS = 14
"""From here on Aer shares one state vector among its threads, all of them (0)."""
_DENSITY_QUBITS = 10
"""A density matrix of more qubits takes longer than a thousand noisy shots, one by one."""
_VECTOR_QUBITS = 20
_SEEDS_OF_A_ROW = 2113
"""Aer seeds row i with seed + 2113 i, and noisy shot j of a row with that plus j: with more shots
than this in a run, the rows would share their noise and draws."""


class AerBackend(Named):
    """Circuits on `qiskit_aer.AerSimulator`, ideal or noisy.

    - method: Aer's name of it: `statevector`, `matrix_product_state` (exact to rounding) or
      `density_matrix`. Unless told, it is decided from the circuit: with noise and up to 10
      qubits `density_matrix`, else whichever of `matrix_product_state` and `statevector` needs
      less memory. With noisy gates these two simulate every shot on its own.
    - depolarising: probability p of the depolarising channel after every gate on the qubits of that
      gate, in Aer's convention (`qiskit_aer.noise.depolarizing_error`): ρ → (1 - p) ρ + p I / 2^k,
      so that p = 1 forgets them completely. One number for all gates, or {"one": p, "two": p} for
      those of one and of two qubits; one left out is 0. Every gate of the circuit counts, a
      rotation by 0 too.
    - readout: probability that a measured bit is flipped, the same for 0 and 1.
    - snapshot: the noise of a real device instead: the name of a fake device of
      qiskit-ibm-runtime, such as `fake_torino`, or a Qiskit BackendV2. The circuit is transpiled
      to its gates and couplings; draws come back in the order of the circuit's own qubits.
    - fast_sampling: sample a matrix product by `mps_probabilities`, the same draws several times
      faster than Aer's default.

    Probabilities are exact: of the state vector (20 qubits), with noise of the density matrix and
    with the readout errors (10 qubits, counting those that a snapshot routes through), and not
    offered with `matrix_product_state`. Raises ConfigurationError for an unknown method or
    snapshot and for a strength that is no probability, and MissingError if a snapshot's package
    is not installed.
    """

    after_colon: ClassVar[str] = "method"
    forms: ClassVar[tuple[str, ...]] = ("aer", "aer:statevector", "aer:matrix_product_state")

    @staticmethod
    def installed() -> list[str]:
        """`aer`, where Qiskit Aer is installed."""
        return ["aer"] if find_spec("qiskit_aer") else []

    def __init__(
        self,
        *,
        method: str | None = None,
        depolarising: float | Mapping[str, float] = 0.0,
        readout: float = 0.0,
        snapshot: Any = None,
        fast_sampling: bool = True,
    ) -> None:
        if method is not None and method not in METHODS:
            raise unknown("method of aer", str(method), METHODS)
        self.method = method
        self.one, self.two = strengths(depolarising)
        self.readout = probability("readout", readout)
        if not isinstance(fast_sampling, bool):
            raise ConfigurationError(f"fast_sampling is true or false; got {fast_sampling!r}.")
        self.fast_sampling = fast_sampling
        if snapshot is not None and (self.one or self.two or self.readout):
            raise ConfigurationError(
                "Got a snapshot together with depolarising or readout; expected one or the other, "
                "as a snapshot brings all its noise. Leave one of them out."
            )
        self.device = None if snapshot is None else _device(snapshot)
        self.noisy = snapshot is not None or bool(self.one or self.two or self.readout)
        bits = _DENSITY_QUBITS if self.noisy or method == "density_matrix" else _VECTOR_QUBITS
        self.capabilities = BackendCapabilities(
            probability_bits=0 if method == "matrix_product_state" else bits
        )

    def __str__(self) -> str:
        name = "aer" if self.method is None else f"aer:{self.method}"
        notes = [f"the noise of {self.device.name}"] if self.device else []
        if self.one or self.two:
            notes.append(described(self.one, self.two))
        if self.readout:
            notes.append(f"readout error {self.readout:g}")
        return f"{name} with {', '.join(notes)}" if notes else name

    def compile(self, circuit: Circuit, *, rows: int = 1) -> "AerExecutable":
        """The circuit, ready to run; Aer runs rows one after the other, so `rows` changes nothing.

        Raises ConfigurationError if it does not fit in memory, or not on the snapshot's device.
        """
        parameters, gates = qiskit_with_angles(circuit)
        qubits = list(range(circuit.n_qubits))
        if self.device is not None:
            gates, qubits = _place(gates, self.device)
        width = len(_used(gates, qubits))
        vector, density = state_vector_bytes(width, 2), state_vector_bytes(2 * width, 2)
        product = _matrix_product_bytes(circuit)
        method = self.method
        if method is None:
            method = "matrix_product_state" if product < vector else "statevector"
            if self.noisy and width <= _DENSITY_QUBITS:
                method = "density_matrix"
        needed = {"statevector": vector, "matrix_product_state": product, "density_matrix": density}
        noisy = {f"aer:{name}": size for name, size in needed.items()} if self.noisy else None
        check_memory(circuit, f"aer:{method}", needed[method], noisy)
        return AerExecutable(self, method, parameters, gates, qubits)

    def noise(self, gates: Any, qubits: Sequence[int]) -> tuple[Any, list[Float]]:
        """The NoiseModel of a circuit, None if there is no noise, and its readout errors.

        The latter are P(read j | true i) as [i, j] for each of `qubits`.
        """
        if not self.noisy:
            return None, []
        from qiskit_aer.noise import NoiseModel, ReadoutError, depolarizing_error

        if self.device is not None:
            return _snapshot_noise(self.device.target, gates, qubits)
        noise = NoiseModel()
        if self.one:
            noise.add_all_qubit_quantum_error(depolarizing_error(self.one, 1), list(ROTATIONS))
        if self.two:
            noise.add_all_qubit_quantum_error(
                depolarizing_error(self.two, 2), list(TWO_QUBIT_GATES)
            )
        right, wrong = 1 - self.readout, self.readout
        confusion = np.array([[right, wrong], [wrong, right]])
        if self.readout:
            noise.add_all_qubit_readout_error(ReadoutError(confusion))
        return noise, [confusion] * len(qubits)


class AerExecutable:
    """A circuit on Aer: an `Executable`."""

    def __init__(
        self,
        backend: AerBackend,
        method: str,
        parameters: Sequence[Any],
        gates: Any,
        qubits: Sequence[int],
    ) -> None:
        """`qubits` are where in `gates` the circuit's own qubits are at the end."""
        from qiskit.circuit import ClassicalRegister
        from qiskit_aer import AerSimulator
        from qiskit_aer.library import SaveProbabilities

        self.n_qubits = n = len(qubits)
        self.backend, self.method = backend, method
        self._parameters, self._qubits = parameters, qubits
        self._width = len(_used(gates, qubits))
        self._measured = gates.copy()
        self._measured.add_register(ClassicalRegister(n))
        self._measured.measure(qubits, range(n))
        self._saved = gates.copy()
        self._saved.append(SaveProbabilities(n), qubits)
        fast = "mps_probabilities" if backend.fast_sampling else "mps_apply_measure"
        noise, self._confusions = backend.noise(gates, qubits)
        # threads cost more than they save below the size at which Aer shares out a state
        self._simulator = AerSimulator(
            noise_model=noise,
            mps_sample_measure_algorithm=fast,
            max_parallel_threads=1 if n < _PARALLEL_QUBITS else 0,
        )

    def at(self, angles: Float) -> "AerAt":
        """The circuit at angles [replica, row, angle] in radians; see `Executable`.

        Raises ConfigurationError if they do not fit.
        """
        return AerAt(self, checked_angles(angles, len(self._parameters)))

    def draws(self, rows: Float, shots: int, seed: int) -> Bits:
        """Draws [row, shot, qubit] at angles `rows` [row, angle] in radians, in one Aer run.

        Raises ConfigurationError if Aer fails, or returns another number of shots.
        """
        results = self._run(
            self._measured, rows, method=self.method, shots=shots, memory=True, seed_simulator=seed
        )
        draws = [result.data.memory for result in results]
        if any(len(row) != shots for row in draws):
            raise ConfigurationError(
                f"Aer returned {sorted({len(row) for row in draws})} shots a row; expected "
                f"{shots}. Report it with the version of qiskit-aer."
            )
        return _unpack(draws, self.n_qubits)

    def probabilities(self, angles: Float) -> Float:
        """p [replica, row, 2^n] at angles [replica, row, angle] in radians, as they are read out.

        Raises ConfigurationError for more qubits than the backend's `probability_bits`, and
        with Aer's message if Aer fails.
        """
        limit = self.backend.capabilities.probability_bits
        if self._width > limit:
            raise ConfigurationError(
                f"The backend {self.backend} gives all probabilities of up to {limit} qubits; this "
                f"circuit takes {self._width}. Sample instead."
            )
        density = self.backend.noisy or self.method == "density_matrix"
        method = "density_matrix" if density else "statevector"
        exact = [self._run(self._saved, rows, method=method, shots=1) for rows in angles]
        p = np.array([[result.data.probabilities for result in results] for results in exact])
        # Aer saves probabilities before the measurement: readout errors are still to come
        for qubit, confusion in enumerate(self._confusions):
            pairs = p.reshape(-1, 2, 1 << qubit)
            p = np.einsum("aib,ij->ajb", pairs, confusion).reshape(p.shape)
        return p

    def _run(self, circuit: Any, rows: Float, **options: Any) -> list[Any]:
        """One Aer run at angles [row, angle]: a result for each row."""
        if self._parameters:
            columns = rows.T.tolist()
            binds = [dict(zip(self._parameters, columns, strict=True))]
            result = self._simulator.run(circuit, parameter_binds=binds, **options).result()
        else:
            result = self._simulator.run([circuit] * len(rows), **options).result()
        if not result.success or len(result.results) != len(rows):
            raise ConfigurationError(
                f"Aer failed with the method {options['method']}: {result.status}. Use another "
                "method or backend, or a smaller circuit."
            )
        return result.results


class AerAt:
    """A circuit at angles, that has `probabilities` too; Aer prepares nothing in advance."""

    def __init__(self, circuit: AerExecutable, angles: Float) -> None:
        self._circuit, self.angles = circuit, angles

    def sample(self, shots: int, rng: Rngs) -> Bits:
        """As in `Prepared`.

        Raises ConfigurationError if `shots` < 1, if the generators do not fit, and with
        Aer's message if Aer fails.
        """
        if shots < 1:
            raise ConfigurationError(f"shots must be at least 1; got {shots}.")
        check_rng(rng, len(self.angles))
        bits = np.empty((*self.angles.shape[:2], shots, self._circuit.n_qubits), np.uint8)
        together = min(shots, _SEEDS_OF_A_ROW) if self._circuit.backend.noisy else shots
        for replica, stream in enumerate(rng):
            for first in range(0, shots, together):
                part = bits[replica, :, first : first + together]
                seed = int(stream.integers(2**62))  # Aer takes 63 bits, and adds to it
                part[...] = self._circuit.draws(self.angles[replica], part.shape[1], seed)
        return bits

    def probabilities(self) -> Float:
        """As in WithExpectation; with noise those of what is read out.

        Raises ConfigurationError for more qubits than the backend's `probability_bits`, and with
        Aer's message if Aer fails.
        """
        return self._circuit.probabilities(self.angles)


# -- on a device -----------------------------------------------------------------------------------


def _place(gates: Any, device: Any) -> tuple[Any, list[int]]:
    """The circuit in the device's gates and couplings, and where its qubits are at the end."""
    from qiskit.transpiler import TranspilerError, generate_preset_pass_manager

    try:
        placed = generate_preset_pass_manager(1, backend=device, seed_transpiler=0).run(gates)
    except TranspilerError as error:
        raise ConfigurationError(
            f"Qiskit cannot place this circuit of {gates.num_qubits} qubits on {device.name}: "
            f"{error.message} Use another snapshot, or depolarising and readout."
        ) from error
    return placed, placed.layout.final_index_layout()


def _snapshot_noise(target: Any, gates: Any, qubits: Sequence[int]) -> tuple[Any, list[Float]]:
    """As `AerBackend.noise`, what Aer's `NoiseModel.from_backend` has for this circuit.

    The model of a whole device of a hundred qubits would take Aer seconds at every run.
    """
    from qiskit.transpiler import Target
    from qiskit_aer.noise import NoiseModel
    from qiskit_aer.noise.device import basic_device_gate_errors, basic_device_readout_errors

    used = _used(gates, qubits)
    part = Target(num_qubits=target.num_qubits, qubit_properties=target.qubit_properties)
    for name in sorted({"measure", *(step.operation.name for step in gates.data)}):
        places = {place: of for place, of in target[name].items() if used.issuperset(place)}
        part.add_instruction(target.operation_from_name(name), places, name=name)
    noise = NoiseModel(basis_gates=list(part.operation_names))
    for name, place, error in basic_device_gate_errors(target=part):
        noise.add_quantum_error(error, name, place)
    confusions = {qubit: np.eye(2) for qubit in qubits}
    for (qubit,), error in basic_device_readout_errors(target=part):
        noise.add_readout_error(error, [qubit])
        confusions[qubit] = error.probabilities
    return noise, [confusions[qubit] for qubit in qubits]


def _used(gates: Any, qubits: Sequence[int]) -> set[int]:
    """The qubits that Aer simulates: ours and those that routing goes through, not idle ones."""
    return {gates.find_bit(qubit).index for step in gates.data for qubit in step.qubits}.union(
        qubits
    )


def _matrix_product_bytes(circuit: Circuit) -> int:
    """Estimate for Aer's matrix product: a bond is never more than either side has states."""
    n = circuit.n_qubits
    exact = matrix_product_bonds(circuit)
    return matrix_product_bytes([min(bond, q, n - q) for q, bond in enumerate(exact)])


# -- from Aer's results to ours --------------------------------------------------------------------


def _unpack(draws: Sequence[Sequence[str]], n_qubits: int) -> Bits:
    """Aer's draws as uint8 [row, shot, qubit].

    Aer writes a draw as a hexadecimal number ('0x1f') whose bit q is qubit q. All are decoded at
    once, which is several times faster than one by one.
    """
    words = n_words(n_qubits)
    digits = "".join([draw[2:].zfill(16 * words) for row in draws for draw in row])
    decoded = np.frombuffer(bytes.fromhex(digits), ">u8").reshape(len(draws), -1, words)
    return unpack(decoded[..., ::-1], n_qubits)  # the first digits are the highest qubits


# -- options ---------------------------------------------------------------------------------------


def _device(snapshot: Any) -> Any:
    """The BackendV2 with the noise of a device, by its name or given."""
    from qiskit.providers import BackendV2

    if isinstance(snapshot, BackendV2) and snapshot.coupling_map is not None:
        return snapshot
    if not isinstance(snapshot, str):
        raise ConfigurationError(
            f"Got the snapshot {snapshot!r}; expected the name of a device, such as "
            "'fake_torino', or a Qiskit BackendV2 that knows its couplings and errors."
        )
    with needs("ibm", f"The snapshot '{snapshot}'"):
        from qiskit_ibm_runtime import fake_provider  # type: ignore[import-not-found]
    classes = [kind for kind in vars(fake_provider).values() if hasattr(kind, "backend_name")]
    known = {kind.backend_name: kind for kind in classes}
    if snapshot not in known:
        raise unknown("device snapshot", snapshot, known)
    return known[snapshot]()
