"""Circuit: a neutral list of gates, and how their angles come from what is trained.

All qubits start in `|0>`. A rotation is exp(-i angle P / 2) with P = X, Y or Z, so that the
two-term shift rule holds for every angle. Angles are what gates see; parameters are what is
trained.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from qhyper.arrays import counted
from qhyper.errors import ConfigurationError, unknown
from qhyper.quantum.drawing import Drawing, draw
from qhyper.quantum.gate import ROTATIONS, TWO_QUBIT_GATES, Angle, Gate


@dataclass(frozen=True)
class Affine:
    """angles = offset + matrix · x, with the matrix given by its entries."""

    offset: npt.NDArray[np.float64]
    """[angle], in radians"""
    angle: npt.NDArray[np.int64]
    """the row of each entry of the matrix, [entry]"""
    column: npt.NDArray[np.int64]
    """the column of each entry, [entry]"""
    coefficient: npt.NDArray[np.float64]
    """[entry], in radians a unit of x"""

    def __repr__(self) -> str:
        entries = counted(len(self.angle), "coefficient")
        return f"Affine({counted(len(self.offset), 'angle')}, {entries})"


@dataclass(frozen=True)
class Circuit:
    """Gates in the order in which they act. Rotation number k, in that order, has angle k.

    Raises ConfigurationError for a gate that is not one of rx, ry, rz, cx and cz, for qubits or an
    angle that do not fit it, and if a parameter or an input is left out: they are numbered from 0.
    """

    n_qubits: int
    gates: tuple[Gate, ...]

    def __post_init__(self) -> None:
        if self.n_qubits < 1:
            raise ConfigurationError(f"A circuit needs at least 1 qubit; got {self.n_qubits}.")
        for gate in self.gates:
            self._check(gate)
        for kind in ("parameters", "inputs"):
            used = {number for angle in self.angles for number in getattr(angle, kind)}
            if used != set(range(len(used))):
                raise ConfigurationError(
                    f"The gates use {kind} {sorted(used)}; expected all from 0 to "
                    f"{max(len(used) - 1, max(used))}, without gaps."
                )

    def __repr__(self) -> str:
        numbers = Counter(gate.name for gate in self.gates)
        gates = ", ".join(f"{numbers[name]:,} {name}" for name in sorted(numbers)) or "no gates"
        inputs = f", {counted(self.n_inputs, 'input')}" * bool(self.n_inputs)
        return (
            f"Circuit({counted(self.n_qubits, 'qubit')}: {gates}; "
            f"{counted(self.n_parameters, 'parameter')}{inputs})"
        )

    def _check(self, gate: Gate) -> None:
        rotation = gate.name in ROTATIONS
        if not rotation and gate.name not in TWO_QUBIT_GATES:
            raise unknown("gate", gate.name, ROTATIONS + TWO_QUBIT_GATES)
        arity = 1 if rotation else 2
        on_qubits = isinstance(gate.qubits, tuple) and all(
            isinstance(qubit, int | np.integer) and 0 <= qubit < self.n_qubits
            for qubit in gate.qubits
        )
        if not on_qubits or not len(gate.qubits) == len(set(gate.qubits)) == arity:
            raise ConfigurationError(
                f"Gate '{gate.name}' got qubits {gate.qubits}; expected {arity} different "
                f"qubits from 0 to {self.n_qubits - 1}, as a tuple."
            )
        kinds = int | np.integer | Angle if rotation else type(None)
        if not isinstance(gate.angle, kinds):
            expected = "the number of its parameter, or an Angle" if rotation else "none"
            raise ConfigurationError(
                f"Gate '{gate.name}' got angle {gate.angle}; expected {expected}."
            )
        if isinstance(gate.angle, Angle):
            angle = gate.angle
            if not isinstance(angle.parameters, Mapping) or not isinstance(angle.inputs, Mapping):
                raise ConfigurationError(
                    f"Gate '{gate.name}' got {angle}; expected parameters and inputs as "
                    "dictionaries, number to coefficient, and a plain number as offset=."
                )
            numbers = (angle.offset, *angle.parameters.values(), *angle.inputs.values())
            real = all(isinstance(number, int | float | np.number) for number in numbers)
            if not real or not np.isrealobj(numbers) or not np.isfinite(numbers).all():
                raise ConfigurationError(
                    f"Gate '{gate.name}' got {angle}; expected finite numbers."
                )

    @cached_property
    def angles(self) -> tuple[Angle, ...]:
        """The angle of each rotation."""
        return tuple(
            gate.angle if isinstance(gate.angle, Angle) else Angle({int(gate.angle): 1.0})
            for gate in self.gates
            if gate.angle is not None
        )

    @cached_property
    def n_angles(self) -> int:
        """Number of rotations."""
        return len(self.angles)

    @cached_property
    def n_parameters(self) -> int:
        """Number of parameters that are trained."""
        return len({number for angle in self.angles for number in angle.parameters})

    @cached_property
    def n_inputs(self) -> int:
        """Number of input features that the angles depend on; 0 for most circuits."""
        return len({number for angle in self.angles for number in angle.inputs})

    @cached_property
    def trained(self) -> npt.NDArray[np.int64]:
        """The numbers of the angles that depend on a parameter, int64 [trained angle]."""
        return np.flatnonzero([any(angle.parameters.values()) for angle in self.angles])

    @cached_property
    def plain(self) -> bool:
        """Whether angle k is parameter k, for all of them, and nothing else."""
        return all(
            angle.parameters == {number: 1.0} and not angle.inputs and angle.offset == 0
            for number, angle in enumerate(self.angles)
        )

    @property
    def entangled(self) -> bool:
        """Whether it has a gate of two qubits."""
        return any(gate.name in TWO_QUBIT_GATES for gate in self.gates)

    @property
    def unentangled(self) -> "Circuit":
        """The same without its CX and CZ gates: every rotation keeps its angle."""
        return Circuit(self.n_qubits, tuple(gate for gate in self.gates if gate.name in ROTATIONS))

    def draw(self, *, width: int = 80, qubits: int = 12, columns: int = 60) -> Drawing:
        """The circuit as text: gates on wires, each as early as it can act.

        It is folded at `width` characters. Only the first `qubits` wires and `columns` are drawn,
        and a note says what is left out. θ0 is parameter 0 and x0 the first feature of an input; a
        control is ●, with ⊕ on its target for CX and ● for CZ. Raises ConfigurationError for a
        width below 40, and unless all three are whole numbers above 0.
        """
        return draw(self.n_qubits, self.gates, width=width, qubits=qubits, columns=columns)

    def numbered(self) -> Iterator[tuple[Gate, int | None]]:
        """Every gate with the number of its angle, None for CX and CZ."""
        number = 0
        for gate in self.gates:
            if gate.angle is None:
                yield gate, None
            else:
                yield gate, number
                number += 1

    def affine(self) -> Affine:
        """The angles as an affine function of x, the parameters followed by the inputs."""
        entries = [
            (number, column + shift, coefficient)
            for number, angle in enumerate(self.angles)
            for shift, part in ((0, angle.parameters), (self.n_parameters, angle.inputs))
            for column, coefficient in part.items()
        ]
        return Affine(
            offset=np.array([angle.offset for angle in self.angles], dtype=np.float64),
            angle=np.array([angle for angle, _, _ in entries], dtype=np.int64),
            column=np.array([column for _, column, _ in entries], dtype=np.int64),
            coefficient=np.array([value for _, _, value in entries], dtype=np.float64),
        )
