"""A gate of a circuit, and the angle that it turns by."""

from collections.abc import Mapping
from dataclasses import dataclass, field

ROTATIONS = ("rx", "ry", "rz")
TWO_QUBIT_GATES = ("cx", "cz")


@dataclass(frozen=True)
class Angle:
    """An angle in radians: offset + Σ parameters[i] · θ_i + Σ inputs[j] · x_j."""

    parameters: Mapping[int, float] = field(default_factory=dict)
    inputs: Mapping[int, float] = field(default_factory=dict)
    offset: float = 0.0


@dataclass(frozen=True)
class Gate:
    """One gate: a rotation with its angle, or a CX or CZ (control first).

    An angle that is a number k is parameter k itself. A fixed rotation has `Angle(offset=...)`,
    and rotations are tied by naming the same parameter.
    """

    name: str
    qubits: tuple[int, ...]
    angle: Angle | int | None = None
