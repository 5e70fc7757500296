"""IonQ's own service.

Jobs are built by qiskit-ionq, but sent and read here: its client sends a job up to five times when
a gateway does not answer, although the first may have been taken, and asks for results for ever.
"""

import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

from qhyper.errors import ConfigurationError, MissingError, unknown
from qhyper.machine import needs
from qhyper.quantum.cloud.door import (
    UNDECIDED,
    Denied,
    JobState,
    Limits,
    NotFound,
    PlannedJobs,
    Price,
    Pub,
    Rejected,
    Service,
    Unreachable,
)
from qhyper.quantum.cloud.ionq_http import SECONDS, asked_of, json_of, never_connected, said_in
from qhyper.quantum.cloud.ionq_job import SIMULATOR, IonQJob
from qhyper.quantum.cloud.options import check_flag, check_text
from qhyper.quantum.cloud.redaction import redacted, words_of

MOST_SHOTS = 10_000
MOST_ROWS = 5_000
MOST_GATES = 30_000
"""Two-qubit gates of a job: IonQ takes 150,000 gates, the one-qubit gates between them included."""
_DEBIASED_FROM = 500
"""Shots from which IonQ can do it."""
_FRESH = 5.0
"""Seconds for which one list of all jobs answers questions about several names."""
_TAKES_NO_JOBS = ("offline", "unavailable", "retired")


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
        self._estimates: dict[tuple[int, int, tuple[int, int]], tuple[float, str]] = {}
        """Costs of a job, and their units, by its rows, shots and gates: asked for once."""
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
        """What fits in one job; see `Service`.

        Raises ConfigurationError for an unknown backend, MissingError if IonQ does not answer.
        """
        qubits = int(self._described().get("qubits") or 0)
        return Limits(qubits, rows=MOST_ROWS, shots=MOST_SHOTS, gates=MOST_GATES)

    @cached_property
    def device(self) -> Any:
        """The backend of qiskit-ionq; see `Service`.

        Raises MissingError if qiskit-ionq does not agree with IonQ on its qubits, or as `limits`.
        """
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

    def run(self, pubs: Sequence[Pub], shots: int, *, tag: str) -> IonQJob:
        """Send one job, once; see `Service`."""
        import requests

        body = self.preview(pubs, shots, tag=tag)
        self._named = (0.0, {})
        try:
            reply = requests.post(
                self._client.make_path("jobs"), data=body, headers=self._client.api_headers,
                timeout=SECONDS, allow_redirects=False,
            )  # fmt: skip
        except requests.exceptions.ConnectionError as error:
            if never_connected(error):
                raise Rejected(f"Nothing was sent: {words_of(error)}", again=True) from error
            raise
        if 200 <= reply.status_code < 300:
            return IonQJob(self, str(reply.json()["id"]))
        words = f"HTTP {reply.status_code}: {said_in(reply)}"
        if reply.status_code in (401, 403):
            raise Denied(words)
        if 400 <= reply.status_code < 500 and reply.status_code not in UNDECIDED:
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
        json_of(asked_of("PUT", address, self._client.api_headers))

    # -- looking up ---------------------------------------------------------------------------

    def job(self, job_id: str) -> IonQJob:
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

    def price(self, planned: Sequence[PlannedJobs]) -> Price | None:
        """IonQ's own estimate for this account; see `Service`."""
        total, told, unit = 0.0, [], "USD"
        for each in planned:
            rows = -(-each.rows // each.jobs)
            asked = (rows, -(-each.rows * each.shots // (each.jobs * rows)), each.gates)
            if asked not in self._estimates:
                self._estimates[asked] = self._estimate(*asked)
            cost, unit = self._estimates[asked]
            total += each.jobs * cost
            told.append(f"{each.jobs:,} job{'s' * (each.jobs != 1)} of {cost:,.2f}")
        words = f"{total:,.2f} {unit}, by IonQ's own estimate: {' and '.join(told)}"
        return Price(words, total if unit == "USD" else None)

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
        return json_of(asked_of("GET", address, self._client.api_headers, params))

    def result(self, link: str) -> Any:
        """The reply with a result, by its link, which begins with the version, or by its path.

        The key goes to IonQ alone, wherever a link leads.
        """
        from urllib.parse import urljoin, urlsplit

        base = self._client.make_path("")
        address = urljoin(base, link)
        own = urlsplit(address)[:2] == urlsplit(base)[:2]
        return asked_of("GET", address, self._client.api_headers if own else {})

    def headers(self, about: dict[str, Any]) -> list[Any]:
        """What qiskit-ionq wrote down of each circuit of a job: which qubits were measured."""
        from qiskit_ionq.helpers import decompress_metadata_string

        headers = decompress_metadata_string((about.get("metadata") or {}).get("qiskit_header"))
        return headers if isinstance(headers, list) else [headers]

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
