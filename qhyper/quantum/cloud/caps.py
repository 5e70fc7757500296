"""Caps: what jobs may cost and how many there may be, in one run and in one day of all runs.

A day is the last 24 hours, and all runs are those beside each other in one folder: what was sent
is read from their ledgers, so that there is no second record of it.
"""

import math
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, fields
from pathlib import Path

from qhyper.errors import ConfigurationError, StorageError
from qhyper.quantum.cloud.ledger_file import FILE

_LOCK = ".caps.lock"
_DAY = 86_400.0
_BUSY_SECONDS = 30.0
_ROUNDING = 1e-9
"""Of sums of prices, in US dollars."""


@dataclass(frozen=True)
class Caps:
    """The caps of a run; None is no cap. ConfigurationError for one that is negative or no number.

    Costs are US dollars by the prices that are known before; a job whose price is not known is
    not sent under a cap on costs.
    """

    cost: float | None = None
    """of all jobs of the run"""
    jobs: int | None = None
    """of the run, every attempt"""
    cost_per_day: float | None = None
    """of all runs beside this one, in the last 24 hours"""
    jobs_per_day: int | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            value, whole = getattr(self, field.name), field.name.startswith("jobs")
            kinds = int if whole else int | float
            good = isinstance(value, kinds) and not isinstance(value, bool)
            if value is not None and not (good and math.isfinite(value) and value >= 0):
                what = "a whole number of jobs" if whole else "US dollars"
                option = f"--max-{field.name.replace('_', '-')}"
                raise ConfigurationError(f"Got {option} {value}; expected {what} from 0.")

    @property
    def of_money(self) -> bool:
        """Whether there is one on costs."""
        return self.cost is not None or self.cost_per_day is not None

    @property
    def of_days(self) -> bool:
        """Whether there is one on a day."""
        return self.cost_per_day is not None or self.jobs_per_day is not None

    def check_plan(self, outlays: Iterable[tuple[int, float | None]]) -> None:
        """Raise ConfigurationError unless a run fits that sends so many (jobs, cost), from none."""
        jobs, cost = 0, 0.0
        for count, dollars in outlays:
            if self.of_money and dollars is None:
                raise _unpriced()
            jobs, cost = jobs + count, cost + (dollars or 0.0)
        self._fits("the run", "", self.cost, self.jobs, (0, 0.0), cost, jobs)

    def check(self, folder: Path, cost: float | None, jobs: int = 1) -> None:
        """Raise ConfigurationError unless `jobs` more, of `cost` together, fit the run's caps.

        `folder` is the run's. `cost` is None if it is not known.
        """
        if self == NO_CAPS:
            return
        folder = folder.resolve()
        if self.of_money and cost is None:
            raise _unpriced()
        run = _spent([folder / FILE], 0.0)
        self._fits("the run", "", self.cost, self.jobs, run, cost or 0.0, jobs)
        if self.of_days:
            day = _spent(sorted(folder.parent.glob(f"*/{FILE}")), time.time() - _DAY)
            words = f"a day, of all runs in {folder.parent}"
            self._fits(words, "-per-day", self.cost_per_day, self.jobs_per_day, day, cost or 0.0,
                       jobs)  # fmt: skip

    def _fits(
        self, what: str, option: str, cost: float | None, jobs: int | None,
        spent: tuple[int, float | None], more: float, count: int,
    ) -> None:  # fmt: skip
        sent, paid = spent
        if jobs is not None and sent + count > jobs:
            raise ConfigurationError(
                f"The cap of {what} is {jobs:,} jobs; {sent:,} were sent, and {count:,} more would "
                f"be. Nothing more was sent. Raise --max-jobs{option}, or send less."
            )
        if cost is None:
            return
        if paid is None:
            raise ConfigurationError(
                f"The cap of {what} is {cost:,.2f} US dollars, and jobs were sent whose price is "
                "not known: whether more fit cannot be said. Nothing more was sent. Look at "
                f"`qhyper jobs`, and go on without --max-cost{option}."
            )
        if paid + more > cost + _ROUNDING:
            raise ConfigurationError(
                f"The cap of {what} is {cost:,.2f} US dollars; jobs of {paid:,.2f} were sent, and "
                f"{more:,.2f} more would be. Nothing more was sent. Raise --max-cost{option}, or "
                "send less."
            )

    @contextmanager
    def alone(self, folder: Path) -> Iterator[None]:
        """Within, no other run beside this one sends under a cap of a day.

        Raises StorageError if the folder of the runs cannot be locked.
        """
        if not self.of_days:
            yield
            return
        path = folder.resolve().parent / _LOCK
        try:
            with closing(
                sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)
            ) as lock:
                lock.execute("BEGIN EXCLUSIVE")
                yield
        except sqlite3.Error as error:
            raise StorageError(
                f"{path} cannot be locked, so that a cap of a day cannot be kept: {error}. Make "
                "the folder writable, or do without a cap of a day."
            ) from error


NO_CAPS = Caps()


def _unpriced() -> ConfigurationError:
    return ConfigurationError(
        "The price is not known here, so that --max-cost cannot be kept. Nothing more was sent. "
        "Cap the number of jobs instead (--max-jobs), and ask the vendor for the price."
    )


def _spent(ledgers: Iterable[Path], since: float) -> tuple[int, float | None]:
    """(jobs that were sent since then, what they cost in US dollars or None if not known)."""
    jobs, cost = 0, 0.0
    known = True
    for path in ledgers:
        if not path.is_file():
            continue
        for attempts, dollars in _attempts(path, since):
            jobs, known = jobs + attempts, known and dollars is not None
            cost += dollars or 0.0
    return jobs, cost if known else None


def _attempts(path: Path, since: float) -> list[tuple[int, float | None]]:
    """(attempts, cost) of each job of a ledger that was sent since then."""
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as base:
            columns = {row[1] for row in base.execute("PRAGMA table_info(jobs)")}
            cost = "cost" if "cost" in columns else "NULL"  # of an earlier version
            query = f"SELECT attempts, {cost} FROM jobs WHERE attempts > 0 AND sent >= ?"
            return base.execute(query, (since,)).fetchall()
    except sqlite3.Error as error:
        raise StorageError(
            f"{path} cannot be read, so that the caps cannot be kept: {error}. Nothing was sent."
        ) from error
