"""What a service must do: jobs that measure what was sent, each bit in its own place.

Nothing is ever sent to a service unless it says that it is local: that its jobs cost nothing.
"""

import inspect
import time
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from qhyper.bits import Bits
from qhyper.checks.finding import Broken, LeftOut, expect, expect_array
from qhyper.errors import JobError
from qhyper.quantum.cloud.door import CloudJob, JobState, Limits, NotFound
from qhyper.quantum.cloud.door import Service as AnyService
from qhyper.quantum.cloud.readout import angles_of, preparation

QUBITS, SHOTS = 3, 64
PATTERNS: Bits = np.array([[1, 0, 0], [0, 1, 1]], np.uint8)
"""Which reversed, shifted or inverted are others."""
SHAPE = (len(PATTERNS), SHOTS, QUBITS)
PATIENCE = 120.0
"""Seconds that a job of this machine is waited for."""


@dataclass(frozen=True, eq=False)
class Service:
    """A service to be tried: its class, and the service itself where it could be made."""

    kind: Any
    made: AnyService | None
    missing: str = ""
    """why it could not be made"""

    def ready(self) -> AnyService:
        """The service; LeftOut where there is none."""
        if self.made is None:
            raise LeftOut(self.missing)
        return self.made

    @cached_property
    def job(self) -> CloudJob:
        """A job that is done, of two bitstrings; LeftOut for a service that is not local."""
        made = self.ready()
        if not made.local:
            raise LeftOut("it does not say that it is local, and nothing is sent that may cost")
        # Qiskit is slow to import
        from qhyper.quantum.cloud.qiskit_isa import transpiled

        isa = transpiled(preparation(QUBITS), made.device, level=1)
        before = isa.circuit.copy()
        job = made.run([(isa.circuit, isa.rows(angles_of(PATTERNS)))], SHOTS, tag="qhyper-check-0")
        expect(isa.circuit == before, "Sending a circuit changed it: work on a copy.")
        end = time.monotonic() + PATIENCE
        while job.state() in (JobState.QUEUED, JobState.RUNNING) and time.monotonic() < end:
            time.sleep(0.05)
        expect(
            job.state() == JobState.DONE,
            f"A job of 2 rows and {SHOTS} shots is {job.state()} after {PATIENCE:.0f} s: "
            f"{job.message()}",
        )
        return job


def it_has_what_a_service_has(subject: Service) -> None:
    """It has the methods of a Service, with their arguments."""
    lacking = sorted(getattr(subject.kind, "__abstractmethods__", ()))
    expect(not lacking, f"It does not say {', '.join(lacking)}: write these methods.")
    for name, wanted in {"run": ("pubs", "shots", "tag"), "job": ("job_id",)}.items():
        found = inspect.signature(getattr(subject.kind, name)).parameters
        takes = [key for key in found if key != "self"]
        any_names = any(p.kind is p.VAR_KEYWORD for p in found.values())
        expect(
            len(takes) >= len(wanted) and (any_names or name == "job" or "tag" in takes),
            f"`{name}` takes ({', '.join(takes)}); expected ({', '.join(wanted)}).",
        )


def it_says_what_it_is(subject: Service) -> None:
    """It says its name, limits, device and what it takes, in one line each."""
    made = subject.ready()
    said = {"str": str(made), "about": made.about(QUBITS), "limits": str(made.limits)}
    for name, words in said.items():
        expect(isinstance(words, str) and "\n" not in words, f"{name} gave {words!r}.")
    expect(str(made), "Its name, __str__, is empty.")
    expect(isinstance(made.limits, Limits), f"`limits` is {made.limits!r}; expected Limits(...).")
    qubits = made.limits.qubits
    expect(qubits is None or qubits >= 1, f"`limits` has {qubits} qubits.")
    expect(made.device is not None, "`device` is None: it has to be a Qiskit BackendV2.")
    why = made.unavailable()
    expect(why is None or isinstance(why, str), f"unavailable() gave {why!r}; expected words.")


def closing_twice_is_fine(subject: Service) -> None:
    """It can be closed, twice as well, and sending can begin and end without a job."""
    made = subject.ready()
    with made.sending():
        pass
    made.close()
    made.close()


def bits_are_in_their_places(subject: Service) -> None:
    """Known bitstrings are measured as prepared: 2 rows, 64 shots, each bit in its majority."""
    bits = subject.job.measured(SHAPE, seed=1).bits
    expect_array("What it measured", bits, SHAPE, "[row, shot, clbit]", "u")
    read = (bits.mean(axis=1) > 0.5).astype(int)
    if (read == PATTERNS).all():
        return
    words = ["".join(map(str, row)) for row in read]
    known = {
        "the bits are in reversed order": PATTERNS[:, ::-1],
        "the rows are in reversed order": PATTERNS[::-1],
        "the bits are inverted": 1 - PATTERNS,
    }
    why = [name for name, other in known.items() if (read == other).all()]
    raise Broken(
        f"100 and 011 were prepared, and {' and '.join(words)} measured"
        f"{': ' + why[0] if why else ''}. Classical bit 0 comes first."
    )


def other_shapes_are_refused(subject: Service) -> None:
    """Shots of another shape than was measured are refused as a JobError."""
    job = subject.job
    for shape in ((3, SHOTS, QUBITS), (2, SHOTS + 1, QUBITS), (2, SHOTS, QUBITS + 1)):
        try:
            job.measured(shape, seed=1)
        except JobError:
            continue
        raise Broken(f"Asked for shots of shape {shape}, where {SHAPE} were measured, "
                     "it gave some: use as_measured of qhyper.quantum.cloud.door.")  # fmt: skip


def jobs_are_known_by_their_number(subject: Service) -> None:
    """A job is found again by its number, and another number is NotFound."""
    job, made = subject.job, subject.ready()
    found = made.job(job.job_id).job_id
    expect(found == job.job_id, f"job({job.job_id!r}) gave the job {found!r}.")
    expected = "expected NotFound of qhyper.quantum.cloud.door: nobody knows that it failed."
    try:
        made.job("no-such-job")
    except NotFound:
        return
    except JobError as error:
        raise Broken(f"job('no-such-job') raised {type(error).__name__}; {expected}") from error
    raise Broken(f"job('no-such-job') gave a job; {expected}")


CHECKS = (
    it_has_what_a_service_has,
    it_says_what_it_is,
    closing_twice_is_fine,
    bits_are_in_their_places,
    other_shapes_are_refused,
    jobs_are_known_by_their_number,
)
