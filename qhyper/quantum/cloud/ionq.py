"""IonQ's own service.

Jobs are built by qiskit-ionq, but sent and read here: its client sends a job up to five times when
a gateway does not answer, although the first may have been taken, and asks for results for ever.
"""

import json
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np

from qhyper.errors import ConfigurationError, JobError, MissingError, unknown
from qhyper.machine import needs
from qhyper.quantum.cloud.door import (
    Denied,
    JobState,
    Limits,
    Measured,
    NotFound,
    Price,
    Pub,
    Rejected,
    Service,
    Unreachable,
    Unreadable,
)
from qhyper.quantum.cloud.frequencies import counts_of
from qhyper.quantum.cloud.options import check_flag, check_text
from qhyper.quantum.cloud.qiskit_result import measured_of
from qhyper.quantum.cloud.redaction import redacted, words_of

MOST_SHOTS = 10_000
MOST_ROWS = 5_000
MOST_GATES = 30_000
"""Two-qubit gates of a job: IonQ takes 150,000 gates, the one-qubit gates between them included."""
SIMULATOR = "simulator"
_DEBIASED_FROM = 500
"""Shots from which IonQ can do it."""
_SECONDS = 30.0
_LONGEST = 200
"""Characters of an answer that are worth showing."""
_FRESH = 5.0
"""Seconds for which one list of all jobs answers questions about several names."""
_TAKES_NO_JOBS = ("offline", "unavailable", "retired")
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


class IonQService(Service):
    """One backend of IonQ.

    - name: "qpu.forte-1", "simulator" and so on, as IonQ names them
    - noise_model: which computer's noise the simulator has ("aria-1", "forte-1"); without noise it
      returns probabilities and no shots
    - debias: whether IonQ mixes the results of many variants of each circuit, at a higher price;
      from 500 shots on

    The key is the one in the environment (IONQ_API_KEY). A job is one row or a set of rows; its
    name is its tag, by which it is found. Raises MissingError where the package, the key or the
    network is missing, ConfigurationError for a simulator without noise; so do `device` and
    `limits`, for an unknown backend too.
    """

    after_colon: ClassVar[str] = "name"
    measures: ClassVar[tuple[str, ...]] = ("noise_model", "debias")
    searchable = True

    def __init__(self, name: str, *, noise_model: str | None = None, debias: bool = False) -> None:
        check_text("noise_model", noise_model)
        check_flag("debias", debias)
        self.name, self.noise_model, self.debias = name.removeprefix("ionq_"), noise_model, debias
        self._check_simulator(ideal=noise_model in (None, "ideal"))
        with needs("ionq", "IonQ"):
            from qiskit_ionq import helpers, ionq_client
        account = helpers.resolve_credentials()
        if not account["token"]:
            raise MissingError(
                "IonQ needs an API key, and there is none. Make one at cloud.ionq.com and put it "
                "into the environment variable IONQ_API_KEY."
            )
        self._client = ionq_client.IonQClient(**account)
        self._named: tuple[float, dict[str, list[str]]] = (0.0, {})
        """Numbers of jobs by their names, and until when they are taken as they are."""
        self._answered: set[str] = set()
        """Names that were asked for since."""

    def _check_simulator(self, *, ideal: bool) -> None:
        if self.name == SIMULATOR and ideal:
            raise ConfigurationError(
                "IonQ's simulator without noise returns probabilities and no shots, and shots are "
                "never made up. Give it the noise of a computer, with the option "
                "noise_model='forte-1'; or submit to braket:local, which has no noise, or to a "
                "snapshot such as ibm:fake_torino; or train with `--backend aer:mps`."
            )
        if self.name != SIMULATOR and not ideal:
            raise ConfigurationError(
                f"Got noise_model={self.noise_model!r} for {self}; only IonQ's simulator takes one."
            )
        if self.name == SIMULATOR and self.debias:
            raise ConfigurationError(
                "Got debias=True for ionq:simulator; only IonQ's computers do it. Leave it out."
            )

    def __str__(self) -> str:
        return f"ionq:{self.name}"

    @property
    def place(self) -> str:
        """Its name without the prefix of Qiskit's names; see `Service`."""
        return str(self)

    @cached_property
    def limits(self) -> Limits:
        """What fits in one job; see `Service`."""
        qubits = int(self._described().get("qubits") or 0)
        return Limits(qubits, rows=MOST_ROWS, shots=MOST_SHOTS, gates=MOST_GATES)

    @cached_property
    def device(self) -> Any:
        """The backend of qiskit-ionq; see `Service`."""
        from qiskit_ionq import IonQProvider

        qubits = self.limits.qubits
        # it asks for the qubits again, and guesses if there is no answer; it also has an opinion
        # on levels of transpilation that are not used here
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            device = IonQProvider().get_backend(self.name)
        if device.num_qubits != qubits:
            raise MissingError(
                f"IonQ says that {self.name} has {qubits} qubits, and qiskit-ionq that it has "
                f"{device.num_qubits}. Check the network and try again."
            )
        return device

    # -- sending ------------------------------------------------------------------------------

    def preview(self, pubs: Sequence[Pub], shots: int, *, tag: str) -> str:
        """The JSON that `run` posts; its header is compressed, with the time in it."""
        from qiskit_ionq.constants import ErrorMitigation
        from qiskit_ionq.helpers import qiskit_to_ionq

        circuits = [
            circuit.assign_parameters(row, inplace=False) for circuit, rows in pubs for row in rows
        ]
        for number, circuit in enumerate(circuits):
            circuit.name = f"row-{number}"
        options = {
            "shots": shots,
            "name": tag,
            "noise_model": self.noise_model,
            "error_mitigation": (
                ErrorMitigation.DEBIASING if self.debias else ErrorMitigation.NO_DEBIASING
            ),
        }
        return qiskit_to_ionq(
            circuits[0] if len(circuits) == 1 else circuits,
            self.device,
            options,
            extra_metadata={"qhyper": tag},
        )

    def run(self, pubs: Sequence[Pub], shots: int, *, tag: str) -> "IonQJob":
        """Send one job, once; see `Service`."""
        import requests

        body = self.preview(pubs, shots, tag=tag)
        self._named = (0.0, {})
        try:
            reply = requests.post(
                self._client.make_path("jobs"), data=body, headers=self._client.api_headers,
                timeout=_SECONDS, allow_redirects=False,
            )  # fmt: skip
        except requests.exceptions.ConnectionError as error:
            if _never_connected(error):
                raise Rejected(f"Nothing was sent: {words_of(error)}", again=True) from error
            raise
        if 200 <= reply.status_code < 300:
            return IonQJob(self, str(reply.json()["id"]))
        words = f"HTTP {reply.status_code}: {_said(reply)}"
        if reply.status_code in (401, 403):
            raise Denied(words)
        if 400 <= reply.status_code < 500:
            raise Rejected(words, again=reply.status_code == 429)
        raise ConnectionError(words)

    def cancel(self, job_id: str) -> None:
        """Ask IonQ to cancel a job; ConfigurationError if it has ended. See `Service`."""
        state = IonQJob(self, job_id).state()
        if state not in (JobState.QUEUED, JobState.RUNNING):
            raise ConfigurationError(
                f"{self} says that {job_id} is {state}: there is nothing to cancel. Fetch it."
            )
        address = self._client.make_path("jobs", job_id, "status/cancel")
        _json(_asked("PUT", address, self._client.api_headers))

    # -- looking up ---------------------------------------------------------------------------

    def job(self, job_id: str) -> "IonQJob":
        """The job with this number; see `Service`."""
        job = IonQJob(self, job_id)
        job.state()
        return job

    def find(self, tag: str) -> list[str]:
        """The numbers of the jobs of this name, oldest first; see `Service`."""
        until, named = self._named
        if time.monotonic() >= until or tag in self._answered:
            named = {}
            for job in sorted(self._listed(), key=lambda job: str(job.get("submitted_at") or "")):
                # circuits of a job are listed too, and trials that measure nothing
                if not job.get("parent_job_id") and not job.get("dry_run"):
                    named.setdefault(str(job.get("name")), []).append(str(job["id"]))
            self._named, self._answered = (time.monotonic() + _FRESH, named), set()
        self._answered.add(tag)  # who asks twice hopes for something new
        return list(named.get(tag, []))

    def _listed(self) -> Iterator[dict[str, Any]]:
        """All jobs of the account's project, page by page."""
        pages: set[str] = set()
        page = ""
        while True:
            try:
                told = self.ask("jobs", params={"next": page} if page else None)
            except NotFound as error:  # of the list itself
                raise Unreachable(str(error)) from error
            jobs = told.get("jobs") if isinstance(told, dict) else None
            page = str(told.get("next") or "") if jobs is not None else page
            if not isinstance(jobs, list) or page in pages:
                raise Unreachable(f"{self} lists its jobs in a way that cannot be read.")
            yield from jobs
            if not page:
                return
            pages.add(page)

    def unavailable(self) -> str | None:
        """Why the backend takes no jobs; see `Service`."""
        try:
            status = self.ask("backends", self.name).get("status", "available")
        except NotFound:
            return "IonQ does not know it any more."
        return f"its status is {redacted(status)}." if status in _TAKES_NO_JOBS else None

    def price(
        self, jobs: int, rows: int, total_shots: int, *, gates: tuple[int, int] | None = None
    ) -> Price | None:
        """IonQ's own estimate for this account; see `Service`.

        - gates: one-qubit and two-qubit gates of a row; without them only the minimum of a job is
          known, and no amount

        None if IonQ does not say.
        """
        each = -(-rows // max(jobs, 1))
        shots = -(-total_shots // max(rows, 1))
        try:
            cost, unit = self._estimate(each, shots, gates or (0, 0))
        except (Unreachable, NotFound, Denied):
            return None
        total, estimate = jobs * cost, f"by IonQ's own estimate: {jobs:,} jobs of {cost:,.2f}"
        if gates is None and cost:
            return Price(f"at least {total:,.2f} {unit}, and more by the gates, {estimate} at the "
                         "least")  # fmt: skip
        return Price(f"{total:,.2f} {unit}, {estimate}", total if unit == "USD" else None)

    def _estimate(self, rows: int, shots: int, gates: tuple[int, int]) -> tuple[float, str]:
        """(cost, unit) of one job; IonQ has changed the names once."""
        one, two = gates
        told = self.ask(
            "jobs", "estimate",
            params={
                "backend": self.name, "qubits": self.limits.qubits, "shots": shots,
                "1q_gates": rows * one, "2q_gates": rows * two,
                "error_mitigation": str(self.debias and shots >= _DEBIASED_FROM).lower(),
            },
        )  # fmt: skip
        try:
            cost = told.get("estimated_total_cost", told.get("estimated_cost"))
            return float(cost), str(told.get("estimated_unit") or told["cost_unit"]).upper()
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise Unreachable(f"{self} estimates in a way that cannot be read.") from error

    def about(self, n_bits: int) -> str:
        """Whose noise the simulator has; see `Service`."""
        if self.name != SIMULATOR:
            return ""
        return f"simulated by IonQ with the noise of {self.noise_model} (option noise_model)"

    def ask(self, *path: str, params: Mapping[str, Any] | None = None) -> Any:
        """What IonQ answers; raises NotFound, Denied or Unreachable."""
        address = self._client.make_path(*path)
        return _json(_asked("GET", address, self._client.api_headers, params))

    def result(self, link: str) -> Any:
        """The reply with a result, by its link, which begins with the version, or by its path.

        The key goes to IonQ alone, wherever a link leads.
        """
        from urllib.parse import urljoin, urlsplit

        base = self._client.make_path("")
        address = urljoin(base, link)
        own = urlsplit(address)[:2] == urlsplit(base)[:2]
        return _asked("GET", address, self._client.api_headers if own else {})

    def _described(self) -> dict[str, Any]:
        """What IonQ says about the backend; raises MissingError, ConfigurationError."""
        try:
            try:
                return self.ask("backends", self.name)
            except NotFound as error:
                listed = self.ask("backends")
                entries = listed if isinstance(listed, list) else listed.get("backends", [])
                known = [entry.get("backend", "") for entry in entries]
                raise unknown("IonQ backend", self.name, known) from error
        except (Unreachable, Denied, NotFound) as error:
            raise MissingError(
                f"IonQ said nothing about {self.name}: {str(error).rstrip('.')}. Either there "
                "is no network, or the key in IONQ_API_KEY is wrong or has no access to it."
            ) from error


class IonQJob:
    """A job at IonQ: a `CloudJob`."""

    def __init__(self, service: IonQService, job_id: str) -> None:
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

        `seed` is used where IonQ has counts or frequencies alone.
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
        from qiskit_ionq.helpers import decompress_metadata_string

        (about,) = told.values()
        self._check_device(about)
        headers = decompress_metadata_string((about.get("metadata") or {}).get("qiskit_header"))
        headers = headers if isinstance(headers, list) else [headers]
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


def _asked(
    method: str, address: str, headers: Mapping[str, str], params: Mapping[str, Any] | None = None
) -> Any:
    """IonQ's reply; raises NotFound, Denied or Unreachable."""
    import requests

    try:
        reply = requests.request(method, address, params=params, headers=headers, timeout=_SECONDS)
    except requests.exceptions.RequestException as error:
        raise Unreachable(words_of(error)) from error
    place = redacted(address.split("?")[0])  # what follows may open the results to anybody
    if reply.status_code == 404:
        raise NotFound(f"IonQ knows nothing at {place}. Check the number and the key.")
    if reply.status_code in (401, 403):
        raise Denied(f"HTTP {reply.status_code}: {_said(reply)}")
    if reply.status_code >= 400:
        raise Unreachable(f"HTTP {reply.status_code}: {_said(reply)}")
    return reply


def _json(reply: Any) -> Any:
    try:
        return reply.json()
    except ValueError as error:
        raise Unreachable(f"no JSON from IonQ: {_said(reply)}") from error


def _said(reply: Any) -> str:
    """IonQ's own words in a reply, in short."""
    try:
        told = reply.json()
        text = str(told.get("message") or told.get("error") or told)
    except (AttributeError, ValueError):
        text = reply.text
    return " ".join(redacted(text).split())[:_LONGEST]  # cut last: half a key is one too


def _never_connected(error: Any) -> bool:
    """Whether a request failed before there was a connection that it could have been sent by."""
    from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

    reason = getattr(error.args[0] if error.args else None, "reason", None)
    return isinstance(reason, NewConnectionError | ConnectTimeoutError)
