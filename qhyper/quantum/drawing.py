"""A circuit as text: its gates on wires, as early as they can act, folded where it gets too wide.

A wire is a line, and a control ● stands on the same column as its target ⊕ (CX) or ● (CZ). Angles
are in names: θ0 is parameter 0, x0 the first feature of an input.
"""

import html
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from qhyper.arrays import is_whole
from qhyper.errors import ConfigurationError
from qhyper.quantum.gate import Angle, Gate

_LABEL = 24
"""Characters of a gate's name and angle."""
_TURNS = 12
"""Angles are named as fractions of π in whole parts of π/12."""

Column = list[Gate]
"""Gates that act at the same time, on wires of their own."""


@dataclass(frozen=True)
class Drawing:
    """The text of a drawing, which is also what is printed."""

    text: str

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        """The same for notebooks: letters of one width, and no line that is broken."""
        style = "white-space: pre; overflow-x: auto; line-height: 1.2; font-family: monospace"
        return f'<pre style="{style}">{html.escape(self.text)}</pre>'


def draw(n_qubits: int, gates: Iterable[Gate], *, width: int, qubits: int, columns: int) -> Drawing:
    """The gates of a circuit as text; see `Circuit.draw`."""
    for name, value, least in (
        ("width", width, 40),
        ("qubits", qubits, 1),
        ("columns", columns, 1),
    ):
        if not is_whole(value, at_least=least):
            raise ConfigurationError(f"{name} is a whole number from {least} up; got {value!r}.")
    everything = _columns(n_qubits, gates)
    shown = min(qubits, n_qubits)
    drawn = [_drawn(column, shown) for column in everything[:columns]]
    names = [f"q{qubit}: " for qubit in range(shown)]
    margin = max(map(len, names))
    names = [name.ljust(margin) for name in names]
    blocks = ["\n".join(_block(part, names)) for part in _folded(drawn, width - margin - 1, shown)]
    left_out = [
        (f"{drawn_of} of {total:,} {name}", f"{name}={total}")
        for name, drawn_of, total in (
            ("qubits", shown, n_qubits), ("columns", columns, len(everything)),
        )
        if drawn_of < total
    ]  # fmt: skip
    if left_out:
        what, all_of = (list(each) for each in zip(*left_out, strict=True))
        blocks.append(f"… {' and '.join(what)}; draw({', '.join(all_of)}) draws all.")
    return Drawing("\n\n".join(blocks))


def _columns(n_qubits: int, gates: Iterable[Gate]) -> list[Column]:
    """The gates by when they can act: after those before them on any wire from end to end."""
    columns: list[Column] = []
    free = [0] * n_qubits
    """the first column in which nothing is on a wire yet"""
    for gate in gates:
        wires = range(min(gate.qubits), max(gate.qubits) + 1)
        at = max(free[wire] for wire in wires)
        if at == len(columns):
            columns.append([])
        columns[at].append(gate)
        for wire in wires:
            free[wire] = at + 1
    return columns


def _drawn(column: Column, shown: int) -> list[str]:
    """A column of text: lines of one width, for the wires and what lies between them.

    Line 2q is the wire of qubit q; the last line is below the last wire that is shown.
    """
    marks = {2 * qubit: "─" for qubit in range(shown)}
    for gate in column:
        for line, mark in _marks(gate):
            if line < 2 * shown:
                marks[line] = mark
    width = max(map(len, marks.values()))
    lines = []
    for line in range(2 * shown):
        filled = " " if line % 2 else "─"
        lines.append(marks.get(line, filled).center(width, filled))
    return lines


def _marks(gate: Gate) -> Iterator[tuple[int, str]]:
    """Where a gate leaves marks: pairs of a line and what stands there."""
    if gate.angle is not None:
        angle = gate.angle if isinstance(gate.angle, Angle) else Angle({int(gate.angle): 1.0})
        label = f"{gate.name.capitalize()}({words(angle)})"
        yield 2 * gate.qubits[0], label if len(label) <= _LABEL else f"{label[: _LABEL - 2]}…)"
        return
    control, target = gate.qubits
    first, last = 2 * min(gate.qubits), 2 * max(gate.qubits)
    for line in range(first + 1, last):
        yield line, "│" if line % 2 else "┼"
    yield 2 * control, "●"
    yield 2 * target, "⊕" if gate.name == "cx" else "●"


def _folded(drawn: list[list[str]], width: int, shown: int) -> Iterator[list[list[str]]]:
    """The columns in parts that are no wider than `width`, if a part has more than one."""
    part: list[list[str]] = []
    used = 0
    for column in drawn:
        needed = len(column[0]) + 1
        if part and used + needed > width:
            yield part
            part, used = [], 0
        part.append(column)
        used += needed
    yield part or [["─" if line % 2 == 0 else " " for line in range(2 * shown)]]


def _block(part: list[list[str]], names: list[str]) -> Iterator[str]:
    """The lines of some columns side by side, without those that are empty."""
    for line in range(2 * len(names)):
        filled = " " if line % 2 else "─"
        text = filled + filled.join(column[line] for column in part) + filled
        if line % 2 == 0:
            yield names[line // 2] + text
        elif text.strip():
            yield " " * len(names[0]) + text.rstrip()


# -- angles in words -------------------------------------------------------------------------------


def words(angle: Angle) -> str:
    """An angle in names: "θ0", "2θ1+0.1", "θ3+π/2·x0"."""
    terms = [
        _term(factor, f"{letter}{number}")
        for letter, part in (("θ", angle.parameters), ("x", angle.inputs))
        for number, factor in part.items()
        if factor
    ]
    if angle.offset or not terms:
        terms.append(_number(angle.offset))
    return "".join(terms[:1] + [t if t.startswith("-") else f"+{t}" for t in terms[1:]])


def _term(factor: float, name: str) -> str:
    if abs(factor) == 1:
        return name if factor > 0 else f"-{name}"
    number = _number(factor)
    return f"{number}·{name}" if "π" in number else f"{number}{name}"


def _number(value: float) -> str:
    """A number in three digits, or as a fraction of π where it is one."""
    parts = value * _TURNS / math.pi
    whole = round(parts)
    if not whole or abs(parts - whole) > 1e-9:
        return f"{value:.3g}"
    common = math.gcd(whole, _TURNS)
    above, below = abs(whole) // common, _TURNS // common
    text = f"{'' if above == 1 else above}π{'' if below == 1 else f'/{below}'}"
    return text if whole > 0 else f"-{text}"
