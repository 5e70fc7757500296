"""Circuits as text, held against drawings made by hand."""

import numpy as np
import pytest

from qhyper import (
    Angle,
    Brickwork,
    Circuit,
    Gate,
    HardwareEfficient,
    QuantumHyperNetwork,
    Reuploading,
)
from qhyper.errors import ConfigurationError
from qhyper.quantum.drawing import words

OWN = Circuit(
    3,
    (
        Gate("ry", (0,), 0),
        Gate("ry", (1,), 0),
        Gate("ry", (2,), 0),
        Gate("cz", (0, 1)),
        Gate("cx", (1, 2)),
        Gate("rx", (2,), Angle({1: 2.0}, offset=0.1)),
        Gate("cx", (2, 0)),
    ),
)

BY_HAND = """\
q0: ─Ry(θ0)─●───────────────⊕─
            │               │
q1: ─Ry(θ0)─●─●─────────────┼─
              │             │
q2: ─Ry(θ0)───⊕─Rx(2θ1+0.1)─●─"""

RING = """\
q0: ─Ry(θ0)─●───⊕─Ry(θ3)─
            │   │
q1: ─Ry(θ1)─⊕─●─┼─Ry(θ4)─
              │ │
q2: ─Ry(θ2)───⊕─●─Ry(θ5)─"""


def test_gates_stand_on_their_wires_as_early_as_they_can_act():
    assert repr(OWN.draw()) == BY_HAND


def test_a_gate_crosses_the_wires_between_its_qubits():
    ring = HardwareEfficient(depth=1, pairs="ring").build(3)
    assert repr(ring.draw()) == RING


def test_angles_name_parameters_and_inputs():
    circuit = Reuploading(Brickwork(depth=2), n_inputs=2).build(2)
    first = repr(circuit.draw()).splitlines()[0]
    assert first == "q0: ─●─Ry(θ0)─Rz(θ2+π/2·x0)─Ry(θ4)─Rz(θ6)─"


@pytest.mark.parametrize(
    ("angle", "expected"),
    [
        (Angle({3: 1.0}), "θ3"),
        (Angle({3: -1.0}, offset=-0.25), "-θ3-0.25"),
        (Angle({0: 0.1}, {0: 1.0}, np.pi / 2), "0.1θ0+x0+π/2"),
        (Angle({0: 1.0, 1: 2.5}), "θ0+2.5θ1"),
        (Angle(offset=2 * np.pi), "2π"),
        (Angle(offset=-3 * np.pi / 4), "-3π/4"),
        (Angle(), "0"),
    ],
)
def test_an_angle_in_words(angle, expected):
    assert words(angle) == expected


def test_no_line_is_wider_than_was_asked_for_and_no_gate_is_lost():
    circuit = Brickwork(depth=4).build(10)
    text = repr(circuit.draw(width=60))
    assert max(map(len, text.splitlines())) <= 60
    for gate in circuit.gates:
        if gate.angle is not None:
            assert text.count(f"{gate.name.capitalize()}(θ{gate.angle})") == 1
    assert text.count("⊕") == sum(gate.name == "cx" for gate in circuit.gates)


def test_a_folded_drawing_begins_again_at_the_names_of_the_wires():
    blocks = repr(Brickwork(depth=3).build(2).draw(width=40)).split("\n\n")
    assert len(blocks) == 2
    assert all(block.startswith("q0: ─") for block in blocks)


def test_a_large_circuit_is_cut_with_a_note_and_stays_readable():
    text = repr(Brickwork(depth=4).build(36).draw())
    assert text.endswith("… 12 of 36 qubits; draw(qubits=36) draws all.")
    assert len(text.splitlines()) < 50
    assert "q11: " in text
    assert "q12: " not in text


def test_a_deep_circuit_is_cut_after_so_many_columns():
    text = repr(Brickwork(depth=40).build(2).draw(columns=3))
    assert text == (
        "q0: ─●─Ry(θ0)─Rz(θ2)─\n"
        "     │\n"
        "q1: ─⊕─Ry(θ1)─Rz(θ3)─\n\n"
        "… 3 of 100 columns; draw(columns=100) draws all."
    )


def test_all_of_a_large_circuit_can_be_drawn():
    text = repr(Brickwork(depth=4).build(36).draw(qubits=36))
    assert "q35: " in text
    assert "…" not in text


def test_a_sum_of_many_parameters_is_cut():
    angle = Angle(dict.fromkeys(range(20), 1.0))
    text = repr(Circuit(1, (Gate("rx", (0,), angle),)).draw())
    assert text.endswith("…)─")
    assert len(text) < 40


def test_a_circuit_without_gates_has_wires():
    assert repr(Circuit(2, ()).draw()) == "q0: ───\nq1: ───"


def test_the_circuit_of_a_generator_is_drawn():
    generator = QuantumHyperNetwork(3, ansatz=OWN)
    assert repr(generator.circuit.draw()) == BY_HAND


def test_in_a_notebook_no_line_of_it_is_broken():
    html = OWN.draw()._repr_html_()
    assert html.startswith("<pre ")
    assert "white-space: pre;" in html
    assert BY_HAND in html


@pytest.mark.parametrize("wrong", [{"width": 10}, {"qubits": 0}, {"columns": 1.5}])
def test_sizes_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ConfigurationError, match=rf"{next(iter(wrong))} is a whole number from"):
        OWN.draw(**wrong)
