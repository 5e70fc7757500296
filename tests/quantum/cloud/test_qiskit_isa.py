"""Circuits transpiled for a device: the same distribution, bits where they belong."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qhyper.errors import ConfigurationError
from qhyper.quantum.ansatz import Brickwork, HardwareEfficient
from qhyper.quantum.backends import build_backend
from qhyper.quantum.circuit import Angle, Circuit, Gate
from qhyper.quantum.cloud.qiskit_isa import LEVELS, fingerprint, load, moved, save, transpiled
from qhyper.quantum.cloud.readout import (
    PREFLIGHT_SHOTS,
    WORST_READOUT,
    check_preflight,
    preflight_bits,
)

BASIS = ["rz", "sx", "x", "cz"]


def device(qubits, coupling=None):
    from qiskit.providers.fake_provider import GenericBackendV2

    return GenericBackendV2(qubits, basis_gates=BASIS, coupling_map=coupling, seed=1)


LINE = [[q, q + 1] for q in range(6)] + [[q + 1, q] for q in range(6)]


def distribution(isa, angles):
    """p of every string of classical bits [2^n], bit 0 fastest, by Qiskit's own state vector."""
    from qiskit.quantum_info import Statevector

    bound = isa.circuit.assign_parameters(isa.rows(angles[None])[0])
    bound.remove_final_measurements()
    return Statevector(bound).probabilities(qargs=list(isa.qubits))


def asked(circuit, angles):
    """The same, of the circuit that was asked for, on this project's exact state vector."""
    executable = build_backend("statevector").compile(circuit)
    return executable.at(angles[None, None]).probabilities()[0, 0]


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("layout", [None, (5, 1, 3), (6, 5, 4)])
def test_the_distribution_is_that_of_the_circuit(level, layout):
    """On a line of 7 qubits, so that some layouts need swaps; angles beyond 10 of them, so that
    the order of parameters by name is not that of the angles."""
    gates = []
    for first in range(0, 12, 3):
        gates += [Gate("ry", (q,), first + q) for q in range(3)]
        gates += [Gate("cz", (0, 1)), Gate("cx", (2, 0))]
    circuit = Circuit(3, tuple(gates))
    angles = np.random.default_rng(level).normal(size=12)
    isa = transpiled(circuit, device(7, LINE), level=level, layout=layout)
    assert {step.operation.name for step in isa.circuit.data} <= {*BASIS, "measure", "barrier"}
    assert len(isa.circuit.parameters) == len(isa.columns) == 12
    np.testing.assert_allclose(distribution(isa, angles), asked(circuit, angles), atol=1e-12)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(LEVELS))
def test_any_circuit_keeps_its_distribution(seed, level):
    rng = np.random.default_rng(seed)
    gates, number = [], 0
    for _ in range(12):
        first, second = rng.permutation(4)[:2].tolist()
        if rng.random() < 0.6:
            gates.append(Gate(rng.choice(["rx", "ry", "rz"]), (first,), number))
            number += 1
        else:
            gates.append(Gate(rng.choice(["cx", "cz"]), (first, second)))
    circuit = Circuit(4, (*gates, Gate("ry", (0,), number)))
    angles = rng.uniform(-4, 4, number + 1)
    isa = transpiled(circuit, device(7, LINE), level=level)
    np.testing.assert_allclose(distribution(isa, angles), asked(circuit, angles), atol=1e-12)


def test_a_fixed_rotation_stays():
    gates = (Gate("ry", (0,), Angle(offset=1.0)), Gate("ry", (1,), Angle({0: 1.0})))
    isa = transpiled(Circuit(2, gates), device(2))
    angles = np.array([1.0, 0.4])
    np.testing.assert_allclose(
        distribution(isa, angles), asked(Circuit(2, gates), angles), atol=1e-12
    )


def test_36_qubits_in_a_line_need_no_swaps():
    circuit = Brickwork(3).build(36)
    coupling = [pair for q in range(39) for pair in ([q, q + 1], [q + 1, q])]
    isa = transpiled(circuit, device(40, coupling))
    own = sum(gate.angle is None for gate in circuit.gates)
    assert isa.two_qubit_gates <= own
    assert isa.two_qubit_depth <= isa.depth
    assert len(set(isa.qubits)) == 36


def test_a_layout_is_kept():
    isa = transpiled(Brickwork(2).build(3), device(7, LINE), layout=(4, 3, 2), level=3)
    assert isa.qubits == (4, 3, 2)


def test_the_same_circuit_is_transpiled_in_the_same_way():
    from qiskit import qasm3

    found = [transpiled(Brickwork(2).build(5), device(7, LINE), level=3) for _ in range(2)]
    texts = {qasm3.dumps(isa.circuit) for isa in found}
    assert len(texts) == 1
    assert found[0].fingerprint == found[1].fingerprint


def test_fingerprints_differ_by_circuit_level_and_layout():
    circuit, place = Brickwork(2).build(3), device(7, LINE)
    flipped = Circuit(3, circuit.gates[::-1])
    prints = [
        transpiled(circuit, place).fingerprint,
        transpiled(flipped, place).fingerprint,
        transpiled(circuit, place, level=1).fingerprint,
        transpiled(circuit, place, layout=(0, 1, 2)).fingerprint,
        transpiled(circuit, place, layout=(2, 1, 0)).fingerprint,
    ]
    assert len(set(prints)) == 5


def test_too_few_qubits_are_named():
    message = r"The circuit has 5 qubits; generic_backend_3q has 3. Use a larger backend or a small"
    with pytest.raises(ConfigurationError, match=message):
        transpiled(Brickwork(2).build(5), device(3))


@pytest.mark.parametrize("level", [-1, 4, True, "2", None])
def test_only_qiskits_levels(level):
    with pytest.raises(
        ConfigurationError, match=r"Got the level .*; expected one of 0, 1, 2 and 3"
    ):
        transpiled(Brickwork(2).build(3), device(3), level=level)


@pytest.mark.parametrize("layout", [(0, 1), (0, 1, 1), (0, 1, 7), (-1, 0, 1), (0, 1, True), "012"])
def test_only_layouts_that_can_be(layout):
    message = "Got the layout .*; expected 3 different qubits of the device, from 0 to 6: one for"
    with pytest.raises(ConfigurationError, match=message):
        transpiled(Brickwork(2).build(3), device(7, LINE), layout=layout)


def test_qubits_that_are_not_connected_are_refused():
    apart = [[0, 1], [1, 0], [2, 3], [3, 2]]
    message = "Qiskit cannot place this circuit of 3 qubits on generic_backend_4q: .* Use another l"
    with pytest.raises(ConfigurationError, match=message):
        transpiled(Brickwork(2).build(3), device(4, apart), level=0)


# -- qubits that are left out ----------------------------------------------------------------------


def with_errors(place, **errors):
    """The device with other errors: `measure_2=0.3`, `cz_0_1=None` (not reported)."""
    from qiskit.transpiler import InstructionProperties

    for name, error in errors.items():
        gate, *qubits = name.split("_")
        known = InstructionProperties(error=error)
        place.target.update_instruction_properties(gate, tuple(map(int, qubits)), known)
    return place


@pytest.mark.parametrize("level", [1, 2, 3])
def test_qubits_of_bad_readout_are_left_out(level):
    """On a line of 7, three in a row are free of qubits 1 and 5 in one way alone."""
    line = with_errors(device(7, LINE), measure_1=0.3, measure_5=0.16)
    isa = transpiled(Brickwork(2).build(3), line, level=level)
    assert set(isa.qubits) == {2, 3, 4}
    product = transpiled(Brickwork(1).build(5), line, level=level)
    assert set(product.qubits) != {0, 2, 3, 4, 6}  # without a place they are used


def test_what_is_read_well_enough_is_used():
    """And so circuits stay where they were put before."""
    line = with_errors(device(7, LINE), **{f"measure_{q}": 0.1 for q in range(7)})
    assert len(transpiled(Brickwork(2).build(7), line).qubits) == 7


def test_a_layout_may_have_bad_qubits():
    line = with_errors(device(7, LINE), measure_1=0.3)
    isa = transpiled(Brickwork(2).build(3), line, layout=(0, 1, 2))
    assert isa.qubits == (0, 1, 2)


def test_qubits_to_be_avoided_come_on_top():
    line = with_errors(device(7, LINE), measure_1=0.3)
    isa = transpiled(Brickwork(2).build(3), line, avoid=(6,))
    assert set(isa.qubits) == {3, 4, 5} or set(isa.qubits) == {2, 3, 4}
    with pytest.raises(ConfigurationError, match=r"without the qubits \[2, 5\]"):
        transpiled(Brickwork(2).build(4), line, avoid=(2, 5))


@pytest.mark.parametrize("avoid", [(7,), (-1,), (True,), ("1",)])
def test_only_qubits_of_the_device_can_be_avoided(avoid):
    with pytest.raises(ConfigurationError, match=r"expected qubits of the device, from 0 to 6\."):
        transpiled(Brickwork(2).build(3), device(7, LINE), avoid=avoid)


def test_the_fingerprint_is_of_what_was_asked_for():
    """Not of what is left out by itself; and as earlier versions wrote it down."""
    circuit = Brickwork(2).build(3)
    isa = transpiled(circuit, with_errors(device(7, LINE), measure_1=0.3))
    assert isa.fingerprint == transpiled(circuit, device(7, LINE)).fingerprint
    assert isa.fingerprint == fingerprint(circuit, 3, None, ())
    assert isa.fingerprint.startswith("9d8903b8ccf9f9fe")
    assert transpiled(circuit, device(7, LINE), avoid=(6,)).fingerprint != isa.fingerprint


UNITS = HardwareEfficient(pairs=[(q, q + 1) for q in range(35) if q % 6 != 5])


@pytest.mark.parametrize("ansatz", [Brickwork(2), UNITS], ids=["brickwork", "units"])
def test_a_snapshot_passes_the_preflight_with_its_readout_errors(ansatz):
    """At the first try, 20 times, seed 0: bits are misread as often as the snapshot says of each
    state. Without leaving any out, UNITS would be put on qubit 0, which is misread with 17 %."""
    fake = pytest.importorskip("qiskit_ibm_runtime.fake_provider")
    place = fake.FakeTorino()
    isa = transpiled(ansatz.build(36), place)
    errors = np.array(
        [
            [place.properties().qubit_property(q, f"prob_meas{1 - state}_prep{state}")[0]
             for state in (0, 1)]
            for q in isa.qubits
        ]
    )  # fmt: skip
    assert errors.mean(axis=1).max() <= WORST_READOUT
    prepared, rng = preflight_bits(36), np.random.default_rng(0)
    wrong = np.where(prepared, errors[:, 1], errors[:, 0])[:, None]
    for _ in range(20):
        flips = rng.random((len(prepared), PREFLIGHT_SHOTS, 36)) < wrong
        check_preflight(prepared[:, None] ^ flips.astype(np.uint8), isa.qubits, "stub")


# -- calibration -----------------------------------------------------------------------------------


def test_errors_that_have_grown_are_told(tmp_path):
    line = with_errors(device(7, LINE), measure_2=0.01, measure_3=0.01, cz_3_4=0.004, cz_4_3=0.004)
    isa = transpiled(Brickwork(2).build(3), line, layout=(2, 3, 4))
    save(isa, tmp_path / "circuit.qpy")
    isa = load(tmp_path / "circuit.qpy")
    assert moved(isa, line) == ""
    with_errors(line, measure_2=0.019, measure_3=0.22, measure_6=0.9, cz_3_4=0.05, cz_4_3=0.05)
    assert re.fullmatch(
        r"The errors of generic_backend_7q have grown since this circuit was transpiled for it: cz "
        r"(3 4|4 3) 0\.4%, now 5\.0%, measure 3 1\.0%, now 22\.0%\. It is sent to the same qubits "
        r"all the same; a new run or submission would choose others\.",
        moved(isa, line),
    )
    with_errors(line, measure_3=None)
    assert "measure" not in moved(isa, line)


def test_circuits_of_earlier_versions_have_no_errors_to_compare():
    line = device(7, LINE)
    isa = transpiled(Brickwork(2).build(3), line, layout=(2, 3, 4))
    del isa.circuit.metadata["errors"]
    assert moved(isa, with_errors(line, measure_2=0.9)) == ""
