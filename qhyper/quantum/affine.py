"""Gates whose angles are affine in parameters and inputs: what conversions from SDKs share."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from qhyper.errors import ConfigurationError
from qhyper.quantum.circuit import ROTATIONS, Angle, Circuit, Gate

Float = npt.NDArray[np.float64]

_TOLERANCE = 1e-9
"""How far an angle, in radians, may be from the affine function that was found for it."""
GATES_ONLY = "all qubits start in |0>, and only gates prepare states"
"""Why what prepares a state is refused."""


def circuit_of(
    n_qubits: int, gates: Sequence[tuple[str, Sequence[int]]], angles: Sequence[Angle],
    parameters: Sequence[str], inputs: Sequence[str],
) -> Circuit:  # fmt: skip
    """The circuit of gates, of which the rotations take the angles in their order.

    Raises ConfigurationError if no angle depends on one of the parameters or inputs.
    """
    for kind, names in (("parameters", parameters), ("inputs", inputs)):
        used = {number for angle in angles for number in getattr(angle, kind)}
        idle = [name for number, name in enumerate(names) if number not in used]
        if idle:
            raise ConfigurationError(
                f"No angle depends on the {kind} {', '.join(idle)}; expected all of them in the "
                "angle of some gate. Leave out what is not used."
            )
    rest = iter(angles)
    built = [
        Gate(name, tuple(int(q) for q in qubits), _short(next(rest)) if name in ROTATIONS else None)
        for name, qubits in gates
    ]
    return Circuit(n_qubits, tuple(built))


def affine_angle(row: Mapping[int, float], offset: float, n_parameters: int) -> Angle:
    """The angle with coefficients by column, the parameters followed by the inputs."""
    return Angle(
        {column: value for column, value in row.items() if value and column < n_parameters},
        {column - n_parameters: v for column, v in row.items() if v and column >= n_parameters},
        offset,
    )


def _short(angle: Angle) -> Angle | int:
    """The number of a parameter, where that is all of the angle."""
    number = next(iter(angle.parameters), 0)
    return number if angle == Angle({number: 1.0}) else angle


def near(values: Float, expected: Float) -> npt.NDArray[np.bool_]:
    """Which values are the expected ones up to rounding, of their shape."""
    return abs(values - expected) <= _TOLERANCE * (1 + abs(expected))


def real_number(value: Any) -> float | None:
    """A finite real number as a float, None for anything else."""
    try:
        number = complex(value)
    except (TypeError, ValueError, RuntimeError):
        return None
    return number.real if np.isfinite(number) and number.imag == 0 else None


def angle_value(angle: Angle, parameters: Any, inputs: Any) -> Any:
    """An angle at parameters and inputs of any type that can be multiplied and added."""
    value = angle.offset
    for terms, values in ((angle.parameters, parameters), (angle.inputs, inputs)):
        for number, coefficient in terms.items():
            value = value + coefficient * values[number]
    return value
