"""IonQ's own service.

Jobs are built by qiskit-ionq, but sent and read here: its client sends a job up to five times when
a gateway does not answer, although the first may have been taken, and asks for results for ever.
"""

import warnings
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, ClassVar

from qhyper.errors import ConfigurationError, JobError, MissingError, unknown
from qhyper.machine import needs
from qhyper.quantum.cloud.door import (
    JobState,
    Limits,
    Measured,
    Pub,
    Rejected,
    Service,
    Unreachable,
)
from qhyper.quantum.cloud.frequencies import counts_of
from qhyper.quantum.cloud.options import check_text
from qhyper.quantum.cloud.qiskit_result import measured_of
from qhyper.quantum.cloud.redaction import redacted, words_of

MOST_SHOTS = 10_000
SIMULATOR = "simulator"
_SECONDS = 30.0
_LONGEST = 200
"""Characters of an answer that are worth showing."""
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


class IonQService(Service):
    """One backend of IonQ.

    - name: "qpu.forte-1", "simulator" and so on, as IonQ names them
    - noise_model: which computer's noise the simulator has ("aria-1", "forte-1"); without noise it
      returns probabilities and no shots

    The key is the one in the environment (IONQ_API_KEY). A job is one row or a set of rows, without
    debiasing. IonQ's service cannot look up jobs by a tag; their name is the tag, and the console
    shows it. Raises MissingError where the package, the key or the network is missing,
    ConfigurationError for an unknown backend or a simulator without noise.
    """

    after_colon: ClassVar[str] = "name"

    def __init__(self, name: str, *, noise_model: str | None = None) -> None:
        check_text("noise_model", noise_model)
        self.name, self.noise_model = name.removeprefix("ionq_"), noise_model
        ideal = noise_model in (None, "ideal")
        if self.name == SIMULATOR and ideal:
            raise ConfigurationError(
                "IonQ's simulator without noise returns probabilities and no shots, and shots are "
                "never made up. Give it the noise of a computer, with the option "
                "noise_model='forte-1'; or submit to braket:local, which has no noise, or to a "
                "snapshot such as ibm:fake_torino; or train with `--backend aer:mps`."
            )
        if self.name != SIMULATOR and not ideal:
            raise ConfigurationError(
                f"Got noise_model={noise_model!r} for {self}; only IonQ's simulator takes one."
            )
        with needs("ionq", "IonQ"):
            from qiskit_ionq import IonQProvider
            from qiskit_ionq.helpers import resolve_credentials
            from qiskit_ionq.ionq_client import IonQClient
        account = resolve_credentials()
        if not account["token"]:
            raise MissingError(
                "IonQ needs an API key, and there is none. Make one at cloud.ionq.com and put it "
                "into the environment variable IONQ_API_KEY."
            )
        self._client = IonQClient(**account)
        qubits = int(self._described().get("qubits") or 0)
        # it asks for the qubits again, and guesses if there is no answer; it also has an opinion
        # on levels of transpilation that are not used here
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.device = IonQProvider().get_backend(self.name)
        if self.device.num_qubits != qubits:
            raise MissingError(
                f"IonQ says that {self.name} has {qubits} qubits, and qiskit-ionq that it has "
                f"{self.device.num_qubits}. Check the network and try again."
            )
        self.limits = Limits(qubits, shots=MOST_SHOTS)

    def __str__(self) -> str:
        return f"ionq:{self.name}"

    # -- sending ------------------------------------------------------------------------------

    def run(self, pubs: Sequence[Pub], shots: int, *, tag: str) -> "IonQJob":
        """Send one job, once; see `Service`."""
        import requests
        from qiskit_ionq.constants import ErrorMitigation
        from qiskit_ionq.exceptions import IonQAPIError
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
            "error_mitigation": ErrorMitigation.NO_DEBIASING,
        }
        body = qiskit_to_ionq(
            circuits[0] if len(circuits) == 1 else circuits,
            self.device,
            options,
            extra_metadata={"qhyper": tag},
        )
        reply = requests.post(
            self._client.make_path("jobs"),
            data=body,
            headers=self._client.api_headers,
            timeout=_SECONDS,
        )
        if reply.status_code >= 400:
            said = redacted(str(IonQAPIError.from_response(reply).message))
            words = f"HTTP {reply.status_code}: {said}"
            if reply.status_code < 500:
                raise Rejected(words, again=reply.status_code == 429)
            raise ConnectionError(words)
        return IonQJob(self._client, reply.json()["id"], str(self))

    # -- looking up ---------------------------------------------------------------------------

    def job(self, job_id: str) -> "IonQJob":
        """The job with this number; see `Service`."""
        job = IonQJob(self._client, job_id, str(self))
        job.state()
        return job

    def unavailable(self) -> str | None:
        """Why the backend takes no jobs; see `Service`."""
        try:
            status = self._described().get("status", "available")
        except MissingError as error:
            return str(error)
        return f"its status is {status}." if status in _TAKES_NO_JOBS else None

    def about(self, n_bits: int) -> str:
        """Whose noise the simulator has; see `Service`."""
        if self.name != SIMULATOR:
            return ""
        return f"simulated by IonQ with the noise of {self.noise_model} (option noise_model)"

    def _described(self) -> dict[str, Any]:
        """What IonQ says about the backend; raises MissingError, ConfigurationError."""
        try:
            return _get(self._client, "backends", self.name)
        except JobError as error:
            listed = _get(self._client, "backends")
            entries = listed if isinstance(listed, list) else listed.get("backends", [])
            known = [entry.get("backend", "") for entry in entries]
            raise unknown("IonQ backend", self.name, known) from error
        except Unreachable as error:
            raise MissingError(
                f"IonQ said nothing about {self.name}: {str(error).rstrip('.')}. Either there "
                "is no network, or the key in IONQ_API_KEY is wrong or has no access to it."
            ) from error


class IonQJob:
    """A job at IonQ: a `CloudJob`.

    All of its questions raise JobError if IonQ knows no job of its number.
    """

    def __init__(self, client: Any, job_id: str, service: str) -> None:
        self.job_id, self._client, self._service = job_id, client, service

    def state(self) -> JobState:
        """What IonQ says about the job; see `CloudJob`."""
        status = self._about().get("status")
        if status not in _STATES:
            raise Unreachable(f"{self._service} says that the job is '{redacted(str(status))}'.")
        return _STATES[status]

    def message(self) -> str:
        """IonQ's own words about a failed job; raises Unreachable."""
        failure = self._about().get("failure") or {}
        parts = (failure.get(part) for part in ("code", "error", "message"))
        return redacted(": ".join(str(part) for part in parts if part))

    def measured(self, shape: tuple[int, int, int], *, seed: int) -> Measured:
        """The shots of each circuit, in the order of the rows; see `CloudJob`.

        `seed` is used where IonQ has frequencies alone.
        """
        from qiskit_ionq.helpers import decompress_metadata_string

        about = self._about()
        headers = decompress_metadata_string((about.get("metadata") or {}).get("qiskit_header"))
        headers = headers if isinstance(headers, list) else [headers]
        children = about.get("child_job_ids") or about.get("children") or []
        parts = [_get(self._client, "jobs", child) for child in children] or [about]
        parts = _in_order(parts)
        if not len(parts) == len(headers) == shape[0]:
            raise JobError(
                f"{self._service} returned {len(parts)} circuits, described by {len(headers)} "
                f"headers; {shape[0]} were sent. Nothing was made of them; the job's record is "
                "kept."
            )
        experiments = [
            SimpleNamespace(data=self._data(part, header, shape[1], f"circuit {number + 1}"))
            for number, (part, header) in enumerate(zip(parts, headers, strict=True))
        ]
        return measured_of(SimpleNamespace(results=experiments), shape, seed, self._service)

    def _data(self, part: dict[str, Any], header: Any, shots: int, where: str) -> SimpleNamespace:
        """The memory of one circuit, or the counts that its frequencies stand for."""
        qubits = (header or {}).get("meas_mapped")
        if not qubits or None in qubits:
            raise JobError(
                f"{self._service}, {where}: it is not known which qubit each bit was measured "
                "from. Is this one of the run's own jobs?"
            )

        def text(outcome: Any) -> str:  # IonQ's binary digit q is qubit q
            return "".join(str(int(outcome) >> qubit & 1) for qubit in reversed(qubits))

        links = part.get("results") or {}
        if link := (links.get("shots") or {}).get("url"):
            memory = [text(outcome) for outcome in _get_link(self._client, link)]
            return SimpleNamespace(memory=memory)
        if link := (links.get("probabilities") or {}).get("url"):
            shares: dict[str, float] = {}
            for outcome, share in _get_link(self._client, link).items():
                shares[text(outcome)] = shares.get(text(outcome), 0.0) + share
            counts = counts_of(shares, shots, f"{self._service}, {where}")
            return SimpleNamespace(counts=counts)
        raise JobError(f"{self._service}, {where}: it has no results. The job's record is kept.")

    def _about(self) -> dict[str, Any]:
        return _get(self._client, "jobs", self.job_id)


def _in_order(parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The circuits of a job by the names they were sent with, where IonQ gives them back."""
    expected = [f"row-{number}" for number in range(len(parts))]
    by_name = {part.get("name"): part for part in parts}
    if set(by_name) == set(expected):
        return [by_name[name] for name in expected]
    return parts


def _get(client: Any, *path: str) -> Any:
    """What IonQ answers; raises JobError if there is no such thing, else Unreachable."""
    return _answer(client, client.make_path(*path))


def _get_link(client: Any, link: str) -> Any:
    """A result by the link that IonQ gave, which begins with the version of its interface."""
    from urllib.parse import urljoin

    return _answer(client, urljoin(client.make_path(""), link))


def _answer(client: Any, address: str) -> Any:
    import requests

    try:
        reply = requests.get(address, headers=client.api_headers, timeout=_SECONDS)
    except requests.exceptions.RequestException as error:
        raise Unreachable(words_of(error)) from error
    place = redacted(address.split("?")[0])  # what follows may open the results to anybody
    if reply.status_code == 404:
        raise JobError(f"IonQ knows nothing at {place}. Check the number.")
    said = " ".join(redacted(reply.text).split())[:_LONGEST]  # cut last: half a key is one too
    if reply.status_code >= 400:
        raise Unreachable(f"HTTP {reply.status_code}: {said}")
    try:
        return reply.json()
    except ValueError as error:
        raise Unreachable(f"no JSON from {place}: {said}") from error
