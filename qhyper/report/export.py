"""Tidy rows as the content of files: CSV and Parquet."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from qhyper.report.tidy import COLUMNS, as_arrow

Rows = Sequence[Mapping[str, Any]]


def as_csv(rows: Rows, before: Sequence[str] = ()) -> str:
    """Tidy rows as CSV with a header: floats in full, nothing in a cell for None.

    `before` are columns of their own, which come first; what else the rows have is left out.
    """
    out = io.StringIO()
    columns = [*before, *COLUMNS]
    writer = csv.DictWriter(out, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def as_parquet(rows: Rows, before: Sequence[str] = ()) -> bytes:
    """Tidy rows as a Parquet file, as `as_csv`; MissingError without the extra `data`."""
    table = as_arrow(rows, before)
    import pyarrow
    from pyarrow import parquet

    out = pyarrow.BufferOutputStream()
    parquet.write_table(table, out)
    return out.getvalue().to_pybytes()
