"""Ansätze, families of circuits with one for each number of qubits, and where training starts."""

import itertools
import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
import numpy.typing as npt

from qhyper.errors import ConfigurationError, unknown
from qhyper.quantum.circuit import ROTATIONS, TWO_QUBIT_GATES, Angle, Circuit, Gate
from qhyper.registry import build
from qhyper.targets.layout import Layout


class Ansatz(Protocol):
    """A family of circuits, one for each number of qubits."""

    def build(self, n_qubits: int) -> Circuit:
        """The circuit on `n_qubits` qubits."""
        ...


@dataclass(frozen=True)
class Product:
    """One Ry on every qubit: no entanglement, so a product of Bernoulli distributions."""

    def __str__(self) -> str:
        return "product circuit"

    def build(self, n_qubits: int) -> Circuit:
        """The circuit on `n_qubits` qubits."""
        return Circuit(n_qubits, tuple(Gate("ry", (q,), q) for q in range(n_qubits)))


@dataclass(frozen=True)
class Brickwork:
    """The ansatz of Carrasquilla et al. (2023, arXiv:2301.08292): `depth` sublayers.

    Each sublayer: CX(j, j+1) on every second pair, then Ry on all qubits, then Rz on all. The
    pairs of one sublayer start at the first qubit, those of the next at the second, alternating.
    2 · n · depth angles; two sublayers are one "layer" of the paper.

    - depth: number of sublayers
    - phase: where the first sublayer's pairs start: 0 at the first qubit, 1 at the second

    Raises ConfigurationError unless `depth` is a whole number of 1 or more and `phase` is 0 or 1.
    """

    depth: int = 4
    phase: Literal[0, 1] = 0

    def __str__(self) -> str:
        return f"brickwork of depth {self.depth}"

    def __post_init__(self) -> None:
        _check_depth("Brickwork", self.depth)
        if self.phase not in (0, 1):
            raise ConfigurationError(f"Brickwork phase is 0 or 1; got {self.phase}.")

    def build(self, n_qubits: int) -> Circuit:
        """The circuit on `n_qubits` qubits."""
        gates: list[Gate] = []
        parameters = 0
        for sublayer in range(self.depth):
            first = (sublayer + self.phase) % 2
            gates += [Gate("cx", (j, j + 1)) for j in range(first, n_qubits - 1, 2)]
            for name in ("ry", "rz"):
                gates += [Gate(name, (q,), parameters + q) for q in range(n_qubits)]
                parameters += n_qubits
        return Circuit(n_qubits, tuple(gates))


Pairs = Literal["linear", "ring", "all-to-all"]


@dataclass(frozen=True)
class HardwareEfficient:
    """Rotations on all qubits, then `depth` times entanglers and the same rotations again.

    As of Kandala et al. (2017, Nature 549, 242). (depth + 1) · n · len(rotations) angles.

    - depth: times that entanglers and rotations repeat
    - pairs: of qubits that are entangled: `linear`, (j, j+1) from the first qubit to the last;
      `ring`, the last and the first besides; `all-to-all`, all j < k; or a list of pairs
    - gate: what entangles a pair
    - rotations: those of every qubit in their order, of `rx`, `ry` and `rz`

    Raises ConfigurationError for a depth below 1, and for gates, rotations or pairs of other names
    or forms.
    """

    depth: int = 4
    pairs: Pairs | Sequence[tuple[int, int]] = "linear"
    gate: Literal["cx", "cz"] = "cx"
    rotations: Sequence[str] = ("ry",)

    def __post_init__(self) -> None:
        _check_depth("HardwareEfficient", self.depth)
        if self.gate not in TWO_QUBIT_GATES:
            raise unknown("entangling gate", self.gate, TWO_QUBIT_GATES)
        if isinstance(self.rotations, str) or not self.rotations:
            raise ConfigurationError(
                f"Got rotations={self.rotations!r}; expected a list such as ['ry', 'rz']."
            )
        for name in self.rotations:
            if name not in ROTATIONS:
                raise unknown("rotation", name, ROTATIONS)
        if isinstance(self.pairs, str):
            if self.pairs not in ("linear", "ring", "all-to-all"):
                raise unknown("pairs", self.pairs, ("linear", "ring", "all-to-all"))
        elif not all(np.shape(p) == (2,) and np.asarray(p).dtype.kind in "iu" for p in self.pairs):
            raise ConfigurationError(
                f"Got pairs={self.pairs!r}; expected linear, ring, all-to-all, or a list of pairs "
                "of qubits such as [[0, 1], [1, 2]]."
            )

    def __repr__(self) -> str:
        return (
            f"HardwareEfficient(depth={self.depth}, pairs={reprlib.repr(self.pairs)}, "
            f"gate={self.gate!r}, rotations={self.rotations!r})"
        )

    def __str__(self) -> str:
        pairs = self.pairs if isinstance(self.pairs, str) else f"{len(self.pairs)} own pairs"
        return (
            f"hardware-efficient ansatz of depth {self.depth} ({pairs}, {self.gate}, "
            f"{' '.join(self.rotations)})"
        )

    def build(self, n_qubits: int) -> Circuit:
        """The circuit on `n_qubits` qubits."""
        gates: list[Gate] = []
        parameters = 0
        for layer in range(self.depth + 1):
            if layer:
                gates += [Gate(self.gate, pair) for pair in self._pairs(n_qubits)]
            for name in self.rotations:
                gates += [Gate(name, (q,), parameters + q) for q in range(n_qubits)]
                parameters += n_qubits
        return Circuit(n_qubits, tuple(gates))

    def _pairs(self, n: int) -> list[tuple[int, int]]:
        if not isinstance(self.pairs, str):
            return [(int(a), int(b)) for a, b in self.pairs]
        if self.pairs == "all-to-all":
            return [(j, k) for j in range(n) for k in range(j + 1, n)]
        line = [(j, j + 1) for j in range(n - 1)]
        return [*line, (n - 1, 0)] if self.pairs == "ring" and n > 2 else line


@dataclass(frozen=True)
class Mirrored:
    """`blocks` times the gates of an ansatz and then the same in reverse, and a last Ry on all.

    Every rotation has a parameter of its own. With the start `identity-block` each block is the
    identity at first (Grant et al., 2019, Quantum 3, 214). Raises ConfigurationError unless there
    is a whole block or more.
    """

    ansatz: Ansatz
    blocks: int = 1

    def __post_init__(self) -> None:
        if not isinstance(self.blocks, int | np.integer) or self.blocks < 1:
            raise ConfigurationError(
                f"A mirrored ansatz needs at least 1 whole block; got {self.blocks!r}."
            )

    def __str__(self) -> str:
        return f"{self.blocks} mirrored block{'s' * (self.blocks > 1)} of {self.ansatz}"

    def build(self, n_qubits: int) -> Circuit:
        """The circuit on `n_qubits` qubits."""
        half = self.ansatz.build(n_qubits).gates
        last = tuple(Gate("ry", (q,), 0) for q in range(n_qubits))
        gates, parameters = [], 0
        for gate in (half + half[::-1]) * self.blocks + last:
            number = None if gate.angle is None else parameters
            gates.append(Gate(gate.name, gate.qubits, number))
            parameters += number is not None
        return Circuit(n_qubits, tuple(gates))


@dataclass(frozen=True)
class Reuploading:
    """The circuit of another ansatz, which sees an input: `scale` · x_j is added to its Rz angles.

    The k-th Rz of qubit q, counted from 0, takes the feature j = (q + k) mod n_inputs, so that in
    one sublayer all features enter and over several every qubit meets them all (data
    re-uploading, Pérez-Salinas et al., 2020, Quantum 4, 226). An Rz that ends its qubit's gates
    cannot change a bit, and takes none. How much a bit depends on the input
    is trained: at the near-product start hardly at all. `scale` is in radians a unit of x.
    Raises ConfigurationError unless `n_inputs` is a whole number of 1 or more.
    """

    ansatz: Ansatz
    n_inputs: int
    scale: float = np.pi / 2

    def __post_init__(self) -> None:
        if not isinstance(self.n_inputs, int | np.integer) or self.n_inputs < 1:
            raise ConfigurationError(
                f"Reuploading needs a whole number of input features, at least 1; got n_inputs="
                f"{self.n_inputs!r}."
            )

    def __str__(self) -> str:
        return f"{self.ansatz} that sees {self.n_inputs} features"

    def build(self, n_qubits: int) -> Circuit:
        """The circuit on `n_qubits` qubits; ConfigurationError if a feature has no Rz."""
        circuit = self.ansatz.build(n_qubits)
        last = {q: k for k, gate in enumerate(circuit.gates) for q in gate.qubits}
        seen = [0] * n_qubits
        gates, used = [], set()
        for k, (gate, number) in enumerate(circuit.numbered()):
            if gate.name == "rz" and number is not None and k < last[gate.qubits[0]]:
                (qubit,) = gate.qubits
                feature = (qubit + seen[qubit]) % self.n_inputs
                seen[qubit] += 1
                used.add(feature)
                angle = circuit.angles[number]
                inputs = {**angle.inputs, feature: angle.inputs.get(feature, 0.0) + self.scale}
                gate = replace(gate, angle=replace(angle, inputs=inputs))
            gates.append(gate)
        if len(used) < self.n_inputs:
            raise ConfigurationError(
                f"{self.ansatz} on {n_qubits} qubits has Rz gates, with others after them, for "
                f"{len(used)} of {self.n_inputs} input features. Use a deeper ansatz with Rz "
                "gates, such as Brickwork of depth 2 or more."
            )
        return Circuit(n_qubits, tuple(gates))


@dataclass(frozen=True)
class Unentangled:
    """The circuit of another ansatz without its CX and CZ gates: as many parameters, a product.

    The ablation of entanglement: rotations, inputs, start and qubit order stay as they are.
    """

    ansatz: Ansatz

    def __str__(self) -> str:
        return f"{self.ansatz} without its entangling gates"

    @property
    def start(self) -> "Start":
        """That of the ansatz."""
        return getattr(self.ansatz, "start", "near-product")

    @property
    def order(self) -> Any:
        """That of the ansatz; None where it has none of its own."""
        return getattr(self.ansatz, "order", None)

    def build(self, n_qubits: int) -> Circuit:
        """The circuit on `n_qubits` qubits."""
        return self.ansatz.build(n_qubits).unentangled


@dataclass(frozen=True)
class Encoded:
    """Ry of every qubit by a feature of its own, and then `depth` times CZ pairs and Ry.

    Qubit q begins with the angle π/2 + x_q + scale · θ_q: without the rest its bit is 1 with
    probability (1 + sin(x_q + scale · θ_q)) / 2. Each later Ry has an angle scale · θ. While these
    are 0 the CZ gates, which are diagonal, change no measurement: it starts as a product
    (`near-plus`), and how entangled it gets is trained. n_inputs = n, and (depth + 1) · n
    parameters, which a static hypernetwork shares among all chunks: with a `scale` below 1 they
    learn more slowly than the features.

    - depth: times that CZ and Ry repeat; 0 is a product
    - pairs: of qubits that are entangled: `linear`, `ring`, `all-to-all` or a list of pairs, as in
      HardwareEfficient
    - scale: of the trained angles, above 0

    Raises ConfigurationError unless `scale` is above 0, and for a depth or pairs that
    HardwareEfficient refuses.
    """

    depth: int = 2
    pairs: Pairs | Sequence[tuple[int, int]] = "ring"
    scale: float = 0.1

    start: ClassVar["Start"] = "near-plus"
    sees_inputs: ClassVar[bool] = True
    """It has features of its own; none are added to its angles."""

    def __post_init__(self) -> None:
        if self.depth:  # what is no depth, and what are no pairs, is refused there
            HardwareEfficient(self.depth, self.pairs, "cz")
        if not 0 < self.scale < np.inf:
            raise ConfigurationError(
                f"Encoded turns by scale · θ, with a scale above 0; got scale={self.scale!r}."
            )

    def __repr__(self) -> str:
        pairs = reprlib.repr(self.pairs)
        return f"Encoded(depth={self.depth}, pairs={pairs}, scale={self.scale})"

    def __str__(self) -> str:
        if not self.depth:
            return "product circuit that sees a feature a qubit"
        return f"circuit that sees a feature a qubit, and depth {self.depth} of CZ and Ry"

    def build(self, n_qubits: int) -> Circuit:
        """The circuit on `n_qubits` qubits."""
        gates = [
            Gate("ry", (q,), Angle({q: self.scale}, {q: 1.0}, np.pi / 2)) for q in range(n_qubits)
        ]
        for layer in range(1, self.depth + 1):
            entanglers = HardwareEfficient(1, self.pairs, "cz")._pairs(n_qubits)
            gates += [Gate("cz", pair) for pair in entanglers]
            for q in range(n_qubits):
                gates.append(Gate("ry", (q,), Angle({layer * n_qubits + q: self.scale})))
        return Circuit(n_qubits, tuple(gates))


@dataclass(frozen=True)
class UnitChain:
    """A circuit that follows a target of one hidden layer and two outputs: `units`, fanned out.

    Each unit has `inputs` + 2 qubits, in the order `unit-centre` of Layout: half of its
    inputs, its last output, its first, the other inputs. A unit acts on the logits only if its
    outputs differ. Its last output's qubit carries whether it acts, until the last CX on it:

    - along the chain, Ry on it, CX from the unit before, Ry: a Markov chain; then CX from the unit
      before again, so that a unit acts where the chain changes. So one unit of all, or two, may act
    - inside the unit, Ry, CX from it, Ry on each other qubit: two distributions of each weight, one
      for units that act and one for units that do not
    - CX from the first output to the last, which makes "differs" of "acts"
    - with `signs`, CX from each output along half of the inputs, with an Ry after each: a unit and
      its opposite, all weights turned over, are one function

    Every qubit has its last rotation before it first controls another one. So the distribution is
    that of a classical Bayesian network of the same graph and as many parameters, a conditional
    probability where an Ry is: it has the target's structure, and no quantum advantage.

    Starts with every qubit in `|+>`, where no CX does anything (`near-plus`). Raises
    ConfigurationError unless `units` and `inputs` are whole numbers from 1.
    """

    units: int
    inputs: int
    signs: bool = False

    start: ClassVar["Start"] = "near-plus"
    order: ClassVar[str] = "unit-centre"

    def __post_init__(self) -> None:
        for name, number in (("units", self.units), ("inputs", self.inputs)):
            if not isinstance(number, int | np.integer) or isinstance(number, bool) or number < 1:
                raise ConfigurationError(
                    f"UnitChain takes the target's hidden units and inputs, whole numbers from 1; "
                    f"got {name}={number!r}."
                )
        if not isinstance(self.signs, bool):
            raise ConfigurationError(f"signs is true or false; got {self.signs!r}.")

    def __str__(self) -> str:
        return f"chain of {self.units} units{' with signs' * self.signs}"

    def build(self, n_qubits: int) -> Circuit:
        """The circuit; ConfigurationError unless `n_qubits` is units · (inputs + 2)."""
        width = self.inputs + 2
        if n_qubits != self.units * width:
            raise ConfigurationError(
                f"A chain of {self.units} units with {self.inputs} inputs and two outputs has "
                f"{self.units * width} qubits; got {n_qubits}. It is for a target with these "
                "layers, weights of -1 and +1 and nothing else."
            )
        gates: list[Gate] = []
        number = itertools.count()

        def ry(qubit: int) -> None:
            gates.append(Gate("ry", (qubit,), next(number)))

        def cx(control: int, target: int) -> None:
            gates.append(Gate("cx", (control, target)))

        half = self.inputs // 2
        last = [unit * width + half for unit in range(self.units)]
        ry(last[0])
        for before, here in pairwise(last):
            ry(here)
            cx(before, here)
            ry(here)
        for before, here in reversed(list(pairwise(last))):
            cx(before, here)
        for acts in last:
            first, begin = acts + 1, acts - half
            left, right = range(begin, acts), range(first + 1, begin + width)
            for qubit in (*left, *right, first):
                ry(qubit)
                cx(acts, qubit)
                ry(qubit)
            cx(first, acts)
            if self.signs:
                for arm in ((acts, *reversed(left)), (first, *right)):
                    for control, qubit in pairwise(arm):
                        cx(control, qubit)
                        ry(qubit)
        return Circuit(n_qubits, tuple(gates))


def within(blocks: Sequence[Sequence[int]], order: Sequence[int]) -> list[tuple[int, int]]:
    """Pairs of qubits for entanglers inside each block of bits, from a bit to the next one.

    Entry q of `order` is the bit that qubit q carries. For `Layout.unit_blocks` the
    entanglers follow the hidden units of the target.
    """
    qubit = {int(bit): q for q, bit in enumerate(order)}
    return [
        (qubit[int(one)], qubit[int(other)]) for block in blocks for one, other in pairwise(block)
    ]


def _check_depth(name: str, depth: int) -> None:
    if not isinstance(depth, int | np.integer) or depth < 1:
        raise ConfigurationError(
            f"{name} depth must be a whole number, at least 1; got {depth!r}. Without entangling "
            "gates, use the product ansatz."
        )


# -- starts ----------------------------------------------------------------------------------------

Start = Literal["near-product", "near-plus", "uniform", "identity-block"]
STARTS: tuple[Start, ...] = ("near-product", "near-plus", "uniform", "identity-block")


def initial_parameters(
    circuit: Circuit, start: Start, rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Parameters [n_parameters] to begin training at.

    `near-product`: all N(0, 0.05²) about zero, except that the last Ry of each qubit is about
    π/2: near the uniform distribution without entanglement, unless the circuit has fixed
    rotations or qubits without a trained Ry. `near-plus`: the same with the first Ry of each qubit:
    every qubit is near `|+>`, where CX do nothing at first. `uniform`: all uniform in [-π, π).
    `identity-block`: gates that meet their own mirror image undo it, at angles uniform in
    [-π, π), and the last Ry of each qubit is at π/2 (Grant et al., 2019); raises
    ConfigurationError for a circuit that is not built of such blocks.
    """
    if start == "uniform":
        return rng.uniform(-np.pi, np.pi, circuit.n_parameters)
    if start == "identity-block":
        return _identity_blocks(circuit, rng)
    if start not in ("near-product", "near-plus"):
        raise unknown("start", start, STARTS)
    parameters = rng.normal(0, 0.05, circuit.n_parameters)
    turned = _outer_ry(circuit, last=start == "near-product")
    for number, (coefficient, offset) in turned.items():
        parameters[number] += (np.pi / 2 - offset) / coefficient
    return parameters


def _outer_ry(circuit: Circuit, *, last: bool) -> dict[int, tuple[float, float]]:
    """The parameters of the qubits' last (or first) Ry with coefficient and offset, each once."""
    each = [(gate.qubits[0], number) for gate, number in circuit.numbered() if gate.name == "ry"]
    of_qubit = dict(each if last else reversed(each))
    found: dict[int, tuple[float, float]] = {}
    for number in of_qubit.values():
        assert number is not None
        terms = {k: c for k, c in circuit.angles[number].parameters.items() if c}
        if len(terms) == 1:
            ((parameter, coefficient),) = terms.items()
            found.setdefault(parameter, (coefficient, circuit.angles[number].offset))
    return found


def _identity_blocks(circuit: Circuit, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    refused = ConfigurationError(
        "The start 'identity-block' needs a circuit of blocks that mirror themselves, each "
        "rotation with a parameter of its own, and at most one Ry on each qubit after them. "
        "Use the ansatz 'mirrored', or the start 'near-product' or 'uniform'."
    )
    if not circuit.plain:
        raise refused
    parameters = np.full(circuit.n_parameters, np.pi / 2)
    open_gates: list[list[tuple[Gate, int | None]]] = [[] for _ in range(circuit.n_qubits)]
    for gate, number in circuit.numbered():
        tops = [open_gates[qubit][-1] if open_gates[qubit] else None for qubit in gate.qubits]
        first = tops[0]
        if (
            first is not None
            and all(top is first for top in tops)
            and (first[0].name, first[0].qubits) == (gate.name, gate.qubits)
        ):
            for qubit in gate.qubits:
                open_gates[qubit].pop()
            if number is not None and first[1] is not None:
                undone = rng.uniform(-np.pi, np.pi)
                parameters[first[1]], parameters[number] = undone, -undone
            continue
        entry = (gate, number)
        for qubit in gate.qubits:
            open_gates[qubit].append(entry)
    left = [[gate.name for gate, _ in gates] for gates in open_gates]
    if any(names not in ([], ["ry"]) for names in left):
        raise refused
    return parameters


# -- by name ---------------------------------------------------------------------------------------


linear = partial(HardwareEfficient, pairs="linear")
ring = partial(HardwareEfficient, pairs="ring")
all_to_all = partial(HardwareEfficient, pairs="all-to-all")


def mirrored(depth: int = 4, phase: Literal[0, 1] = 0, blocks: int = 1) -> Mirrored:
    """Mirrored brickwork, `blocks` times.

    - depth: number of sublayers of the brickwork that is mirrored
    - phase: where the first sublayer's pairs start: 0 at the first qubit, 1 at the second
    - blocks: times that the circuit and its mirror image repeat
    """
    return Mirrored(Brickwork(depth, phase), blocks)


def units(
    depth: int = 4,
    gate: Literal["cx", "cz"] = "cx",
    rotations: Sequence[str] = ("ry",),
    *,
    layout: Layout | None = None,
    order: Sequence[int] = (),
) -> HardwareEfficient:
    """Entanglers inside the hidden units of the target, from each bit of a unit to the next.

    - depth: times that entanglers and rotations repeat
    - gate: what entangles a pair
    - rotations: those of every qubit in their order, of `rx`, `ry` and `rz`

    `order` is the qubit order. Raises ConfigurationError unless `layout` has a hidden layer.
    """
    if layout is None or len(layout.layers) < 3:
        raise ConfigurationError(
            "The ansatz 'units' puts entanglers inside the hidden units of the target: pass its "
            f"`layout`, of a network with a hidden layer; got {layout}. Or use another ansatz."
        )
    blocks = [block.tolist() for block in layout.unit_blocks()]
    return HardwareEfficient(depth, within(blocks, order), gate, rotations)


def unit_chain(signs: bool = False, *, layout: Layout | None = None) -> UnitChain:
    """The UnitChain of a target; ConfigurationError unless it has two outputs and weights alone.

    - signs: whether a unit and its opposite are drawn together
    """
    if layout is None or layout.layers[2:] != (2,) or len(layout.blocks) != 2:
        raise ConfigurationError(
            "The ansatz 'unit-chain' follows the hidden units of a target with one hidden layer, "
            f"two outputs and bits for nothing but weights: pass its `layout`; got {layout}. Or "
            "use another ansatz."
        )
    inputs, hidden, _ = layout.layers
    return UnitChain(hidden, inputs, signs)


def build_ansatz(
    name: str,
    options: Mapping[str, Any] | None = None,
    *,
    order: Sequence[int],
    layout: Layout | None = None,
) -> Ansatz:
    """The ansatz registered as `name` (or `module:Class`), with its options.

    `order`, the qubit order, and `layout`, the target's, go to those that take them. Raises
    ConfigurationError for an unknown name or option, with the nearest known one, and for a target
    that the ansatz cannot follow.
    """
    offered = {"order": order, "layout": layout}
    return build("ansatz", name, options=options, offered=offered)
