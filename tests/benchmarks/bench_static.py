"""Static hypernetworks at full size: one pass of draws, and what a step of training takes."""

from collections.abc import Iterator
from itertools import count

import numpy as np
from bars import Line, bar, seconds

from qhyper.compose.static import static
from qhyper.quantum.ansatz import Encoded
from qhyper.quantum.simulators import state_vector
from qhyper.streams import Streams
from qhyper.targets.packed.inputs import pack_bits
from qhyper.targets.packed.target import PackedRows, PackedTarget

TARGET = PackedTarget((784, 128, 10))


@bar
def static_pass() -> Iterator[Line]:
    """Draws of all 101,632 bits, 16 shots, from circuits of 8 qubits and depth 2, at new angles."""
    generator = static(TARGET.n_bits, generator="entangled", layout=TARGET.layout)
    rng, starts = Streams((0,)), count()

    def one_pass() -> None:
        generator.initialise(next(starts))  # states at the same angles would be kept
        generator.sample(16, rng=rng(0))

    took = seconds(one_pass, repeats=5)
    yield Line("static-pass", took, "s", at_most=0.5, detail=generator.describe())


@bar
def static_states() -> Iterator[Line]:
    """12,704 rows of an 8-qubit circuit, with derivatives: side by side against one by one."""
    circuit, rng = Encoded(2).build(8), np.random.default_rng(0)
    angles = rng.normal(size=(1, 1000, circuit.n_angles))
    costs = rng.normal(size=(1, 1000, 256))
    backend = state_vector.StateVectorBackend()
    many = seconds(lambda: backend.compile(circuit).at(angles).expectation(costs), repeats=5)
    single = state_vector.StateVector(circuit)
    one = seconds(lambda: single.at(angles[:, :100]).expectation(costs[:, :100]), repeats=3)
    yield Line("static-states-ratio", 10 * one / many, "x", detail=f"{1e6 * many / 1000:.1f} µs")


@bar
def static_blocks() -> Iterator[Line]:
    """All 256 strings of 12,704 chunks on 4,000 rows, and how many evaluations that is worth."""
    rng = np.random.default_rng(0)
    x = rng.integers(2, size=(4000, 784), dtype=np.uint8)
    rows = PackedRows(TARGET, pack_bits(x), rng.integers(10, size=4000), "cross_entropy")
    generator = static(TARGET.n_bits, generator="entangled", layout=TARGET.layout)
    plan, bits = generator.independent_blocks, generator.sample(1, rng=Streams((0,))(0)).bits[0, 0]
    assert plan is not None
    took = seconds(lambda: rows.blocks(bits, plan), repeats=3)
    each = seconds(lambda: rows.losses(bits), repeats=10)
    detail = f"{len(plan) * 255:,} strings in the time of so many evaluations"
    yield Line("static-blocks", took, "s")
    yield Line("static-blocks-in-evaluations", took / each, "", detail=detail)
