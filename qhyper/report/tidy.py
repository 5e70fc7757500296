"""What a comparison measured as tidy data: one row a seed and entry, one column a variable.

The term is Wickham's (2014), "Tidy data", Journal of Statistical Software 59(10).
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from qhyper.machine import needs
from qhyper.report.results import Result, first_hits
from qhyper.report.summary import CERTIFIED, Summary
from qhyper.targets.target import SAME_LOSS

if TYPE_CHECKING:
    from pandas import DataFrame
    from pyarrow import Table

COLUMNS: Mapping[str, type] = {
    "run": str,
    "name": str,
    "data": str,
    "network": str,
    "loss": str,
    "entry": str,
    "kind": str,
    "seed": int,
    "parameters": int,
    "estimator": str,
    "risk": str,
    "backend": str,
    "evaluations": int,
    "shots": int,
    "circuits": int,
    "rows": int,
    "certified_minimum": float,
    "best_loss": float,
    "best_regret": float,
    "best_bits": str,
    "hit": bool,
    "evaluations_to_hit": int,
    "held_out_loss": float,
    "train_accuracy": float,
    "test_accuracy": float,
    "final_loss": float,
    "final_regret": float,
    "final_risk": float,
    "total_correlation": float,
    "total_correlation_error": float,
    "joint_loss": float,
    "product_loss": float,
    "product_loss_error": float,
}
"""Every column and the type of its values; any of them can be None.

- run: path of the run directory; name: what the run is called
- data, network, loss: the problem, in words; kind: quantum, classical or control
- evaluations, shots, circuits, rows: what the seed has spent
- best_loss, best_bits, train_accuracy, test_accuracy: of the best network that was drawn. It was
  chosen by held_out_loss where that is not None, and then there is no regret and no hit
- hit, evaluations_to_hit: whether and when the certified minimum was drawn
- final_loss, final_risk: of fresh draws of the trained generator
- regret: the loss minus the certified minimum, 0 within 1e-9
- total_correlation, in bits; joint_loss and product_loss, the mean loss with and without the
  correlations between the bits; and standard errors, None where a number is exact
"""


def tidy(
    summary: Summary, results: Sequence[Result], *, run: str | None = None, name: str | None = None
) -> list[dict[str, Any]]:
    """One row a seed and entry, with all of `COLUMNS`; None for what could not be measured."""
    certified = summary.reference.kind == CERTIFIED
    minimum = summary.reference.loss if certified else None
    about = {
        "run": run, "name": name, "data": summary.data, "network": summary.network,
        "loss": summary.loss, "certified_minimum": minimum,
    }  # fmt: skip
    rows = []
    for result in results:
        of_entry = about | _of_entry(result)
        by_seed = {"seed": result.seeds} | _by_seed(result, minimum)
        for index in range(len(result.seeds)):
            told = of_entry | {
                column: None if values is None else values[index]
                for column, values in by_seed.items()
            }
            rows.append({column: told[column] for column in COLUMNS})
    return rows


def as_frame(rows: Sequence[Mapping[str, Any]]) -> "DataFrame":
    """Tidy rows as a pandas data frame; NA, and NaN among floats, for what was not measured.

    Columns have the same types whatever is in them. Raises MissingError without the extra `data`.
    """
    with needs("data", "A data frame"):
        import pandas
    types = {str: "string", int: "Int64", float: "float64", bool: "boolean"}
    frame = pandas.DataFrame.from_records(list(rows), columns=list(COLUMNS))
    return frame.astype({column: types[kind] for column, kind in COLUMNS.items()})


def as_arrow(rows: Sequence[Mapping[str, Any]], before: Sequence[str] = ()) -> "Table":
    """Tidy rows as an Arrow table, null for what was not measured; MissingError as `as_frame`.

    `before` are columns of their own, which come first: numbers, or else text.
    """
    with needs("data", "An Arrow table"):
        import pyarrow
    types = {
        str: pyarrow.string(), int: pyarrow.int64(), float: pyarrow.float64(),
        bool: pyarrow.bool_(),
    }  # fmt: skip
    own = {column: _kind([row.get(column) for row in rows]) for column in before}
    kinds = {**own, **COLUMNS}
    as_text = [column for column in before if kinds[column] is str]
    rows = [{**row, **{c: None if row.get(c) is None else str(row[c]) for c in as_text}}
            for row in rows]  # fmt: skip
    schema = pyarrow.schema([(column, types[kind]) for column, kind in kinds.items()])
    return pyarrow.Table.from_pylist(rows, schema=schema)


def _kind(values: Sequence[Any]) -> type:
    """The type that holds all values, of which None is none."""
    found = {type(value) for value in values if value is not None}
    if found <= {int, float} and found:
        return float if float in found else int
    return bool if found == {bool} else str


def _of_entry(result: Result) -> dict[str, Any]:
    return {
        "entry": result.name,
        "kind": result.kind,
        "parameters": result.parameters,
        "estimator": result.estimator,
        "risk": result.risk,
        "backend": result.backend,
        **vars(result.spent),
    }


def _by_seed(result: Result, minimum: float | None) -> dict[str, Sequence[Any] | None]:
    """Of each column its values [seed], or None."""
    known = minimum is not None and result.best_by_training_loss
    hits = first_hits(result.improvements, minimum) if known and minimum is not None else None
    bits = result.correlation
    return {
        "best_loss": result.best_loss,
        "best_regret": _regrets(result.best_loss, minimum) if known else None,
        "best_bits": result.best_bits,
        "hit": None if hits is None else [hit is not None for hit in hits],
        "evaluations_to_hit": hits,
        "held_out_loss": result.held_out_loss,
        "train_accuracy": result.train_accuracy,
        "test_accuracy": result.test_accuracy,
        "final_loss": result.final_loss,
        "final_regret": _regrets(result.final_loss, minimum),
        "final_risk": result.final_risk,
        "total_correlation": None if bits is None else bits.total_correlation,
        "total_correlation_error": None if bits is None else bits.total_correlation_error,
        "joint_loss": None if bits is None else bits.loss,
        "product_loss": None if bits is None else bits.product_loss,
        "product_loss_error": None if bits is None else bits.loss_error,
    }


def _regrets(losses: Sequence[float | None], minimum: float | None) -> list[float | None] | None:
    if minimum is None:
        return None
    return [None if loss is None else _regret(loss - minimum) for loss in losses]


def _regret(above: float) -> float:
    return 0.0 if abs(above) < SAME_LOSS else above
