"""How a request is cut into jobs that a service's limits allow."""

import math
from collections.abc import Iterator

from qhyper.quantum.cloud.door import Limits

Chunk = tuple[int, int, int, int]
"""(first row, rows, first shot, shots) of a job."""


def chunks(limits: Limits, rows: int, shots: int, gates: int) -> list[Chunk]:
    """The fewest jobs that the limits allow; `gates` are the circuit's two-qubit gates."""
    return list(cut(limits, rows, shots, gates))


def cut(limits: Limits, rows: int, shots: int, gates: int) -> Iterator[Chunk]:
    """The same one by one, of which there may be very many."""
    most_rows, most_shots = _most(limits, rows, shots, gates)
    for row in range(0, rows, most_rows):
        for shot in range(0, shots, most_shots):
            yield row, min(most_rows, rows - row), shot, min(most_shots, shots - shot)


def n_chunks(limits: Limits, rows: int, shots: int, gates: int) -> int:
    """How many jobs `chunks` would make, without making them."""
    most_rows, most_shots = _most(limits, rows, shots, gates)
    return math.ceil(rows / most_rows) * -(-shots // most_shots)


def alike(limits: Limits, rows: int, shots: int, gates: int) -> list[tuple[int, int, int]]:
    """The same as (jobs, rows of each, shots of each row), those that are alike together."""
    most_rows, most_shots = _most(limits, rows, shots, gates)

    def parts(whole: int, most: int) -> list[tuple[int, int]]:
        full, rest = divmod(whole, most)
        return [(n, size) for n, size in ((full, most), (1, rest)) if n and size]

    return [
        (n * m, some, each)
        for n, some in parts(rows, most_rows)
        for m, each in parts(shots, most_shots)
    ]


def _most(limits: Limits, rows: int, shots: int, gates: int) -> tuple[int, int]:
    """Rows, and shots of each, that fit in one job."""
    most_shots = min(n for n in (shots, limits.shots, limits.executions) if n is not None)
    most_rows = rows
    if limits.rows is not None:
        most_rows = min(most_rows, limits.rows)
    if limits.executions is not None:
        most_rows = min(most_rows, limits.executions // most_shots)
    if limits.gates is not None and gates:
        most_rows = min(most_rows, max(1, limits.gates // gates))
    return most_rows, most_shots
