"""What a service of one's own returns, checked where it is first seen.

A wrong value is refused in words before it is stored or counted with. Our own adapters check what
their vendors return themselves.
"""

from collections.abc import Sequence
from numbers import Integral
from typing import Any, cast

import numpy as np

from qhyper.errors import ConfigurationError, JobError
from qhyper.quantum.cloud.door import (
    CloudJob,
    JobState,
    Limits,
    Measured,
    PlannedJobs,
    Price,
    Pub,
    Service,
    Unreachable,
    Unreadable,
    as_measured,
)


def checked(service: Service) -> Service:
    """The service, whose values are checked if it is not one of ours; limits at once."""
    if type(service).__module__.partition(".")[0] == "qhyper":
        return service
    return cast(Service, _Checked(service))


class _Checked:
    """A service; what is not here is the service's own."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def __getattr__(self, name: str) -> Any:
        if name == "_service":  # of a copy that is being made
            raise AttributeError(name)
        return getattr(self._service, name)

    def __str__(self) -> str:
        return str(self._service)

    @property
    def limits(self) -> Limits:
        """Its limits; ConfigurationError unless they are whole numbers from 1, or None."""
        limits = self._service.limits
        for name in ("qubits", "rows", "shots", "executions", "gates"):
            value = getattr(limits, name, None)
            whole = isinstance(value, Integral) and not isinstance(value, bool)
            if value is not None and not (whole and int(value) >= 1):
                raise ConfigurationError(
                    f"{self} has limits.{name} = {value!r}; expected a whole number from 1, or "
                    "None for no limit. Correct the service."
                )
        return limits

    def run(self, pubs: Sequence[Pub], shots: int, *, tag: str) -> CloudJob:
        """Send one job. Without a number of it nobody knows whether it was taken: JobError."""
        return self._job(self._service.run(pubs, shots, tag=tag))

    def job(self, job_id: str) -> CloudJob:
        """A job by its number."""
        return self._job(self._service.job(job_id))

    def _job(self, job: CloudJob) -> CloudJob:
        number = getattr(job, "job_id", None)
        if not _is_text(number):
            raise JobError(
                f"{self} gave a job the number {number!r}; expected text that is not empty, as "
                "`job_id`. Correct the service."
            )
        return cast(CloudJob, _CheckedJob(job, str(self)))

    def find(self, tag: str) -> list[str]:
        """The numbers of the jobs with this tag; JobError unless they are text."""
        found = self._service.find(tag)
        if not isinstance(found, list | tuple) or not all(_is_text(number) for number in found):
            raise JobError(
                f"{self} found {found!r} for a tag; expected a list of the numbers of jobs, as "
                "text. Correct the service."
            )
        return list(found)

    def price(self, planned: Sequence[PlannedJobs]) -> Price | None:
        """What it would cost; ConfigurationError unless it is a Price of 0 or more, or None."""
        price = self._service.price(planned)
        amount = getattr(price, "amount", None)
        real = isinstance(amount, int | float | np.number) and not isinstance(amount, bool)
        if (price is not None and not isinstance(price, Price)) or (
            amount is not None and not (real and 0 <= amount < np.inf)
        ):
            raise ConfigurationError(
                f"{self} gave the price {price!r}; expected a Price with an amount in dollars from "
                "0, or None where it is not known. Correct the service."
            )
        return price


class _CheckedJob:
    """A job; what is not here is the job's own."""

    def __init__(self, job: CloudJob, service: str) -> None:
        self._job, self._service = job, service

    def __getattr__(self, name: str) -> Any:
        if name == "_job":
            raise AttributeError(name)
        return getattr(self._job, name)

    def state(self) -> JobState:
        """Its state; Unreachable, no answer, for one that is not known."""
        state = self._job.state()
        try:
            return JobState(state)
        except ValueError as error:
            raise Unreachable(
                f"{self._service} gave the job {self._job.job_id} the state {state!r}; expected "
                f"one of {', '.join(JobState)}. Correct the service."
            ) from error

    def measured(self, shape: tuple[int, int, int], *, seed: int) -> Measured:
        """What it measured; Unreadable unless it is a Measured of zeros and ones of `shape`."""
        found = self._job.measured(shape, seed=seed)
        if not isinstance(found, Measured):
            raise Unreadable(
                f"{self._service} returned {type(found).__name__} for what a job measured; "
                "expected Measured (qhyper/quantum/cloud/door.py). Correct the service."
            )
        rows = range(shape[0])
        if not all(isinstance(row, Integral) and int(row) in rows for row in found.missing):
            raise Unreadable(
                f"{self._service} says that the rows {list(found.missing)} are missing; expected "
                f"numbers of rows, from 0 to {shape[0] - 1}. Correct the service."
            )
        missing = tuple(sorted({int(row) for row in found.missing}))
        bits = np.array(found.bits)
        if missing and bits.shape == shape:
            bits[list(missing)] = 0  # they mean nothing
        kept = as_measured(bits, shape, self._service, str(found.note))
        return Measured(kept.bits, kept.note, missing)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())
