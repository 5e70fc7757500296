"""A job at IonQ: its state, what it was charged, and what it measured."""

import json
from collections import Counter
from types import SimpleNamespace
from typing import Any, Protocol

import numpy as np

from qhyper.errors import JobError
from qhyper.quantum.cloud.door import JobState, Measured, NotFound, Unreachable, Unreadable
from qhyper.quantum.cloud.frequencies import counts_of
from qhyper.quantum.cloud.qiskit_result import measured_of
from qhyper.quantum.cloud.redaction import redacted, words_of

SIMULATOR = "simulator"
_STATES = {
    "submitted": JobState.QUEUED,
    "ready": JobState.QUEUED,
    "started": JobState.RUNNING,
    "running": JobState.RUNNING,
    "completed": JobState.DONE,
    "failed": JobState.FAILED,
    "canceled": JobState.CANCELLED,
}
_SHOTS_BY_REGISTER = "ionq.result.shots.json.v2"
_RESULTS = (
    "shots", "ionq.result.shots.json.v1", _SHOTS_BY_REGISTER,
    "histogram", "ionq.result.histogram.json.v1",
    "probabilities", "ionq.result.probabilities.json.v1",
)  # fmt: skip
"""What a job may have, the best first: by address, and by IonQ's names of formats."""


class Account(Protocol):
    """What a job has to know of the service that it was sent by."""

    name: str
    noise_model: str | None

    def ask(self, *path: str) -> Any:
        """What IonQ answers; raises NotFound, Denied or Unreachable."""
        ...

    def result(self, link: str) -> Any:
        """The reply with a result; raises as `ask` does."""
        ...

    def headers(self, about: dict[str, Any]) -> list[Any]:
        """What qiskit-ionq wrote down of each circuit of a job."""
        ...


class IonQJob:
    """A job at IonQ: a `CloudJob`."""

    def __init__(self, service: Account, job_id: str) -> None:
        self.job_id, self._service = job_id, service

    def state(self) -> JobState:
        """What IonQ says about the job; see `CloudJob`.

        One that failed after some of its circuits were done is done: they are paid for.
        """
        about = self._about()
        state = self._state_of(about)
        if state == JobState.FAILED:
            circuits = [self._service.ask("jobs", child) for child in _children(about)]
            if any(self._state_of(circuit) == JobState.DONE for circuit in circuits):
                return JobState.DONE
        return state

    def _state_of(self, about: dict[str, Any]) -> JobState:
        status = about.get("status")
        if status not in _STATES:
            raise Unreachable(f"{self._service} says that the job is '{redacted(str(status))}'.")
        return _STATES[status]

    def message(self) -> str:
        """IonQ's own words about a failed job; raises as the other questions do."""
        failure = self._about().get("failure") or {}
        parts = (failure.get(part) for part in ("code", "error", "message"))
        return redacted(": ".join(str(part) for part in parts if part))

    def called(self) -> str:
        """The name that the job has at IonQ."""
        return redacted(str(self._about().get("name") or ""))

    def queue(self) -> str:
        """How long IonQ expects the job to wait, in words; nothing once it runs."""
        about = self._about()
        wait = about.get("predicted_wait_time_ms")
        if self._state_of(about) != JobState.QUEUED or not isinstance(wait, int | float):
            return ""
        return f"{wait / 60_000:,.0f} minutes to wait by IonQ's own estimate"

    def charged(self) -> str:
        """What IonQ has charged, or what it expects to, in words."""
        told = self._service.ask("jobs", self.job_id, "cost")
        for key, words in (("cost", "charged"), ("estimated_cost", "estimated, not yet charged")):
            if isinstance(told.get(key), dict) and told[key].get("value") is not None:
                unit = redacted(str(told[key].get("unit") or ""))
                unit = "USD" if unit == "usd" else unit
                return f"{float(told[key]['value']):,.2f} {unit} {words} by IonQ"
        return ""

    def measured(self, shape: tuple[int, int, int], *, seed: int) -> Measured:
        """The shots of each circuit, in the order of the rows; see `CloudJob`.

        `seed` is used where IonQ has counts or frequencies alone. Raises Unreadable, a JobError,
        if there is no result, or it cannot be read.
        """
        told: dict[str, Any] = {f"jobs/{self.job_id}": self._about()}
        try:
            return self._read(told, shape, seed)
        except (JobError, NotFound) as error:
            words, cause = redacted(str(error)), error
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            words, cause = (
                (
                    f"{self._service} returned a result that cannot be read: {words_of(error)} "
                    "Nothing was made of it; the job's record is kept."
                ),
                error,
            )
        raise Unreadable(words, raw=redacted(json.dumps(told)).encode()) from cause

    def _read(self, told: dict[str, Any], shape: tuple[int, int, int], seed: int) -> Measured:
        (about,) = told.values()
        self._check_device(about)
        headers = self._service.headers(about)
        for child in _children(about):
            told[f"jobs/{child}"] = self._service.ask("jobs", child)
        parts = _in_order(list(told.values())[1:] or [about])
        if not len(parts) == len(headers) == shape[0]:
            raise JobError(
                f"{self._service} returned {len(parts)} circuits, described by {len(headers)} "
                f"headers; expected {shape[0]}, as many as were sent. Nothing was made of them; "
                "the job's record is kept."
            )
        ended = (JobState.FAILED, JobState.CANCELLED)
        missing = [row for row, part in enumerate(parts) if self._state_of(part) in ended]
        rows = [row for row in range(shape[0]) if row not in missing]
        experiments = [
            SimpleNamespace(
                data=self._data(told, parts[row], headers[row], shape[1], f"circuit {row + 1}")
            )
            for row in rows
        ]
        whole = SimpleNamespace(results=experiments)
        measured = measured_of(whole, (len(rows), *shape[1:]), seed, str(self._service))
        if not missing:
            return measured
        bits = np.zeros(shape, np.uint8)
        bits[rows] = measured.bits
        return Measured(bits, measured.note, tuple(missing))

    def _check_device(self, about: dict[str, Any]) -> None:
        """Raise JobError unless the job ran where it was sent."""
        wanted = {"backend": self._service.name}
        got = {"backend": about.get("backend")}
        if self._service.name == SIMULATOR:
            wanted["noise model"] = str(self._service.noise_model)
            got["noise model"] = (about.get("noise") or {}).get("model")
        for what, name in wanted.items():
            if got[what] != name:
                raise JobError(
                    f"{self._service} says that the job ran with the {what} "
                    f"{redacted(repr(got[what]))}; expected {name!r}. Nothing was made of it; the "
                    "job's record is kept. Is this one of the run's own jobs?"
                )

    def _data(
        self, told: dict[str, Any], part: dict[str, Any], header: Any, shots: int, where: str
    ) -> SimpleNamespace:
        """The memory of one circuit, or its counts."""
        qubits = (header or {}).get("meas_mapped")
        if not qubits or None in qubits:
            raise JobError(
                f"{self._service}, {where}: it is not known which qubit each bit was measured "
                "from. Is this one of the run's own jobs?"
            )

        def text(outcome: Any) -> str:  # IonQ's binary digit q is qubit q
            return "".join(str(int(outcome) >> qubit & 1) for qubit in reversed(qubits))

        form, found = self._result(told, part, where)
        if form == _SHOTS_BY_REGISTER:
            registers = [shot["registers"]["output_all"] for shot in found["shots"]]
            memory = ["".join(str(bits[q]) for q in reversed(qubits)) for bits in registers]
            return SimpleNamespace(memory=memory)
        if "shots" in form:
            return SimpleNamespace(memory=[text(outcome) for outcome in found])
        if "probabilities" in form:
            found = counts_of(found, shots, f"{self._service}, {where}")
        counts: Counter[str] = Counter()
        for outcome, number in found.items():
            counts[text(outcome)] += number
        return SimpleNamespace(counts=counts)

    def _result(self, told: dict[str, Any], part: dict[str, Any], where: str) -> tuple[str, Any]:
        """(format, result) of one circuit, the best there is."""
        links = part.get("results") or {}
        for form in _RESULTS:
            link = links.get(form) or {}
            address = link.get("url") or (
                link.get("id") and f"jobs/{part['id']}/artifacts/{link['id']}"
            )
            if address:
                place = address.split("?")[0]  # what follows may open the results to anybody
                told[place] = self._service.result(address).text
                return form, json.loads(told[place])
        raise JobError(
            f"{self._service}, {where}: it has no results that can be read; got "
            f"{redacted(str(sorted(links))) if links else 'none'}, expected shots, a histogram or "
            "probabilities. The job's record is kept."
        )

    def _about(self) -> dict[str, Any]:
        return self._service.ask("jobs", self.job_id)


def _children(about: dict[str, Any]) -> list[str]:
    """The numbers of the circuits of a job of several."""
    return about.get("child_job_ids") or about.get("children") or []


def _in_order(parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The circuits of a job by the names they were sent with, where IonQ gives them back."""
    expected = [f"row-{number}" for number in range(len(parts))]
    by_name = {part.get("name"): part for part in parts}
    if set(by_name) == set(expected):
        return [by_name[name] for name in expected]
    return parts
