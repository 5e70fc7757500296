"""IBM Quantum: jobs through the client-side `Sampler` of qiskit-ibm-runtime.

Names that begin with `fake_` are snapshots of devices, simulated on this machine in IBM's local
testing mode, with the same sampler and options.
"""

import hashlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Literal
from weakref import WeakValueDictionary

import numpy as np

from qhyper.bits import Bits
from qhyper.errors import ConfigurationError, JobError, MissingError, unknown
from qhyper.machine import needs
from qhyper.quantum.cloud.door import (
    CloudJob,
    JobState,
    Limits,
    Measured,
    Price,
    Pub,
    Rejected,
    Service,
    Unreachable,
    as_measured,
    kept,
)
from qhyper.quantum.cloud.ibm_errors import before_sending, of_network, refusal, status_code
from qhyper.quantum.cloud.ibm_options import checked_decoupling, checked_twirling, largest_divisor
from qhyper.quantum.cloud.options import check_text, check_whole
from qhyper.quantum.cloud.qiskit_result import state_of
from qhyper.quantum.cloud.redaction import redacted, words_of

MODES = ("job", "batch", "session")
NOISES = ("full", "readout", "none")
EXECUTIONS = 10_000_000
"""Rows times shots of a sampler's job, by IBM's documentation."""
_FULL_NOISE_QUBITS = 10


class IBMService(Service):
    """A device of IBM Quantum, or a snapshot of one (`fake_torino`) on this machine.

    - account: the name of an account saved by `QiskitRuntimeService.save_account`; unless told,
      IBM's own order: the environment (QISKIT_IBM_TOKEN), then the default saved account
    - instance: the instance that pays, its CRN or name; there is no default, because IBM would
      choose one, with free plans first
    - mode: "job", "batch" (the jobs sent together) or "session" (which reserves the device, and
      costs for as long as it is open; opened by the first job, always closed by `close`)
    - session_seconds: how long a session may be open at the most; a session needs it
    - dynamical_decoupling: "XX", "XpXm" or "XY4"; True is "XX"
    - twirling: True for Pauli twirling of gates and measurements, or a mapping of `gates`,
      `measure` (both true or false) and `num_randomizations` (32; lowered to a divisor of the
      shots, so that no more shots are measured than asked for)
    - max_execution_time: seconds on the device after which IBM ends a job
    - gate_budget: two-qubit gates times rows of a job at the most; unlimited unless told
    - noise: of a snapshot: "full", "readout" (readout errors alone) or "none". Unless told it is
      full up to 10 measured qubits, and readout above, where full noise takes a minute a row
    - seed: of a snapshot's simulator; a job's own seed follows from it and from the job's tag

    Jobs are never private: their results can be read as often as wanted. Raises MissingError
    without the extra, an account or the network, and ConfigurationError for an unknown name or an
    option that cannot be.
    """

    after_colon: ClassVar[str] = "name"

    def __init__(
        self,
        name: str,
        *,
        account: str | None = None,
        instance: str | None = None,
        mode: Literal["job", "batch", "session"] = "job",
        session_seconds: int | None = None,
        dynamical_decoupling: bool | str | None = None,
        twirling: bool | Mapping[str, Any] | None = None,
        max_execution_time: int | None = None,
        gate_budget: int | None = None,
        noise: Literal["full", "readout", "none"] | None = None,
        seed: int | None = None,
    ) -> None:
        if mode not in MODES:
            raise unknown("mode of IBM jobs", str(mode), MODES)
        if mode == "session" and session_seconds is None:
            raise ConfigurationError(
                "A session reserves the device and costs for as long as it is open. Got no "
                "session_seconds; expected the seconds after which IBM is to close it, whatever "
                "happens here. Or use mode='batch'."
            )
        check_text("account", account)
        check_text("instance", instance)
        check_whole("session_seconds", session_seconds)
        check_whole("max_execution_time", max_execution_time)
        check_whole("gate_budget", gate_budget)
        check_whole("seed", seed, least=0)
        self.name, self.mode, self.session_seconds = name, mode, session_seconds
        self.max_execution_time, self.noise, self.seed = max_execution_time, noise, seed
        self.dynamical_decoupling = checked_decoupling(dynamical_decoupling)
        self.twirling = checked_twirling(twirling)
        self.local = name.startswith("fake_")
        self.searchable = not self.local
        self._place: Any = None
        """the open batch or session"""
        self._jobs: WeakValueDictionary[str, CloudJob] = WeakValueDictionary()
        """of a snapshot, as long as somebody is waiting for them"""
        self._simulators: dict[str, Any] = {}
        if self.local:
            if noise is not None and noise not in NOISES:
                raise unknown("noise", str(noise), NOISES)
            self.device = self._snapshot(name)
        else:
            if noise is not None or seed is not None:
                raise ConfigurationError(
                    f"The options noise and seed are for snapshots (fake_…); {name} is a device."
                )
            self._service = self._connected(account, instance)
            self.device = self._backend(name)
        self.limits = Limits(
            qubits=self.device.num_qubits,
            shots=_whole(getattr(_configuration(self.device), "max_shots", None)),
            executions=EXECUTIONS,
            gates=gate_budget,
        )

    def __str__(self) -> str:
        return f"ibm:{self.name}"

    # -- connecting ---------------------------------------------------------------------------

    @staticmethod
    def _connect(account: str | None, instance: str) -> Any:
        """IBM's own service object; whatever it raises passes."""
        from qiskit_ibm_runtime import QiskitRuntimeService

        return QiskitRuntimeService(name=account, instance=instance)

    def _connected(self, account: str | None, instance: str | None) -> Any:
        if instance is None or instance == "auto":
            raise ConfigurationError(
                f"Got {'no instance' if instance is None else 'instance=auto'} for {self}; "
                "expected the instance that pays (option `instance`, its CRN or name, from "
                "https://quantum.cloud.ibm.com/instances). IBM would choose one by itself, with "
                "free plans first."
            )
        _needed()
        try:
            from qiskit_ibm_runtime.accounts import AccountNotFoundError
            from qiskit_ibm_runtime.exceptions import IBMInputValueError

            service = self._connect(account, instance)
        except AccountNotFoundError as error:
            raise MissingError(
                f"{self}: no IBM Quantum account: {words_of(error)} Save one once, in Python, with "
                "QiskitRuntimeService.save_account(token=…, name=…) and give its name as the "
                "option `account`; or set QISKIT_IBM_TOKEN. No option takes a token."
            ) from error
        except IBMInputValueError as error:
            raise ConfigurationError(
                f"{self}: IBM does not accept the instance '{instance}': {words_of(error)} Copy "
                "its CRN from https://quantum.cloud.ibm.com/instances."
            ) from error
        except Exception as error:
            raise MissingError(
                f"{self}: no connection to IBM Quantum: {words_of(error)} IBM says the same for a "
                "wrong token and for no network: check that "
                "https://quantum.cloud.ibm.com opens from this machine, then the saved account."
            ) from error
        for client in getattr(service, "_api_clients", {}).values():
            _post_once(client)
        return service

    def _backend(self, name: str) -> Any:
        from qiskit.providers import QiskitBackendNotFoundError

        try:
            return self._service.backend(name)
        except QiskitBackendNotFoundError as error:
            try:
                known = [backend.name for backend in self._service.backends()]
            except Exception:
                known = []
            if known:
                raise unknown("IBM backend", name, known) from error
            raise MissingError(
                f"{self}: the instance lists no backends. Check the network, the name, and which "
                "instance was given."
            ) from error
        except Exception as error:
            raise MissingError(
                f"{self}: IBM does not describe the backend: {words_of(error)} Check the network "
                "and the account."
            ) from error

    def _snapshot(self, name: str) -> Any:
        _needed()
        from qiskit_ibm_runtime.fake_provider import FakeProviderForBackendV2

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # one of them says that its errors are not typical
            known = {
                str(backend.name): backend for backend in FakeProviderForBackendV2().backends()
            }
        if name not in known:
            raise unknown("device snapshot", name, known)
        return known[name]

    # -- sending ------------------------------------------------------------------------------

    def run(self, pubs: Sequence[Pub], shots: int, *, tag: str) -> "IBMJob":
        """Send one job; see `Service`."""
        try:
            mode = self._simulator(pubs) if self.local else self._opened()
        except Exception as error:  # no job was sent, and an unused session costs nothing
            status = status_code(error)
            again = not self.local and (status is None or status == 429 or status >= 500)
            raise Rejected(f"no {self.mode} was opened: {words_of(error)}", again=again) from error
        try:
            from qiskit_ibm_runtime.executor_sampler import Sampler

            sampler = Sampler(mode=mode, options=self._options(shots, tag))
            sent: list[Any] = []
            for circuit, rows in pubs:  # rows without parameters count as one to the sampler
                sent += [(circuit, rows)] if rows.shape[1] else [(circuit,)] * len(rows)
            job = IBMJob(self, sampler.run(sent, shots=shots))
        except Exception as error:
            if self.local or before_sending(error):
                raise Rejected(words_of(error)) from error
            certain = refusal(error)
            if certain is None:
                raise
            raise Rejected(words_of(error), again=certain == 429) from error
        if self.local:
            self._jobs[job.job_id] = job
        return job

    def _options(self, shots: int, tag: str) -> dict[str, Any]:
        """The sampler's options for a job."""
        options: dict[str, Any] = {"environment": {"job_tags": [tag]}}
        if self.max_execution_time is not None:
            options["max_execution_time"] = self.max_execution_time
        if self.dynamical_decoupling is not None:
            options["dynamical_decoupling"] = {
                "enable": True,
                "sequence_type": self.dynamical_decoupling,
            }
        if self.twirling is not None:
            randomizations = largest_divisor(shots, self.twirling["num_randomizations"])
            options["twirling"] = {
                "enable_gates": self.twirling["gates"],
                "enable_measure": self.twirling["measure"],
                "num_randomizations": randomizations,
                "shots_per_randomization": shots // randomizations,
            }
        if self.local and self.seed is not None:
            digest = hashlib.sha256(f"{self.seed} {tag}".encode()).digest()
            options["simulator"] = {"seed_simulator": int.from_bytes(digest[:4], "big") >> 1}
        return options

    def _noise(self, n_bits: int) -> str:
        """The noise of a snapshot for circuits of so many bits."""
        return self.noise or ("full" if n_bits <= _FULL_NOISE_QUBITS else "readout")

    def _simulator(self, pubs: Sequence[Pub]) -> Any:
        """The simulator of a snapshot, with the noise for these circuits."""
        from qiskit_aer import AerSimulator
        from qiskit_aer.noise import NoiseModel

        noise = self._noise(max(circuit.num_clbits for circuit, _ in pubs))
        if noise not in self._simulators:
            gates = noise == "full"
            model = None
            if noise != "none":
                model = NoiseModel.from_backend(
                    self.device, gate_error=gates, thermal_relaxation=gates
                )
            self._simulators[noise] = AerSimulator(
                target=self.device.target,
                noise_model=model,
                method="matrix_product_state",
                mps_sample_measure_algorithm="mps_probabilities",  # faster, the same draws
            )
        return self._simulators[noise]

    def _opened(self) -> Any:
        """What a job is to be sent to: the device, or the open batch or session."""
        if self.mode == "job":
            return self.device
        if self._place is None:
            from qiskit_ibm_runtime import Batch, Session

            kind = Batch if self.mode == "batch" else Session
            self._place = kind(self.device, max_time=self.session_seconds)
        return self._place

    @contextmanager
    def sending(self) -> Iterator[None]:
        """Within, jobs are sent to one batch, if the mode is batch; see `Service`."""
        try:
            yield
        finally:
            if self.mode == "batch":
                self.close()

    def close(self) -> None:
        """Close an open session or batch; the jobs in it run to their end.

        Raises MissingError if a session could not be closed.
        """
        place, self._place = self._place, None
        if place is None:
            return
        try:
            place.close()
        except Exception as error:
            if self.mode == "batch":
                return  # it costs nothing while it is open, and ends by itself
            raise MissingError(
                f"{self}: the session {place.session_id} could not be closed: {words_of(error)} It "
                f"costs until it ends by itself, after {self.session_seconds} s at the most: "
                "close it at https://quantum.cloud.ibm.com/workloads."
            ) from error

    # -- jobs ---------------------------------------------------------------------------------

    def job(self, job_id: str) -> CloudJob:
        """A job by its number; see `Service`."""
        if self.local:
            return kept(self, self._jobs, job_id)
        from qiskit_ibm_runtime.exceptions import RuntimeJobNotFound

        try:
            return IBMJob(self, self._service.job(job_id))
        except RuntimeJobNotFound as error:
            raise JobError(
                f"{self} knows no job {job_id}: {words_of(error)} Check the number and the "
                "instance."
            ) from error
        except Exception as error:
            if status_code(error) == 400:
                raise JobError(f"{self} knows no job {job_id}: {words_of(error)}") from error
            raise Unreachable(words_of(error)) from error

    def find(self, tag: str) -> list[str]:
        """The numbers of the jobs with this tag, oldest first; see `Service`."""
        if self.local:
            return super().find(tag)
        try:
            found = self._service.jobs(limit=20, job_tags=[tag], descending=False)
            return [job.job_id() for job in found]
        except Exception as error:
            raise Unreachable(words_of(error)) from error

    def unavailable(self) -> str | None:
        """Why the device takes no jobs now; see `Service`."""
        if self.local:
            return None
        try:
            status = self.device.status()
        except Exception as error:
            return f"IBM does not answer: {words_of(error)}"
        if status.operational:
            return None
        return f"{redacted(str(status.status_msg)) or 'it is not operational'}."

    def about(self, n_bits: int) -> str:
        """Which errors a snapshot has for circuits of so many bits; see `Service`."""
        if not self.local:
            return ""
        noise = self._noise(n_bits)
        errors = {"full": "with all of its errors", "readout": "with readout errors alone",
                  "none": "without errors"}[noise]  # fmt: skip
        why = ""
        if self.noise is None and noise == "readout":
            why = f": {n_bits} bits are more than {_FULL_NOISE_QUBITS}"
        return f"a snapshot of a device, simulated on this machine {errors}{why} (option noise)"

    def price(self, jobs: int, rows: int, total_shots: int) -> Price | None:
        """The quantum time as far as it is known; IBM charges for that by the instance's plan."""
        if self.local:
            return super().price(jobs, rows, total_shots)
        delay = getattr(_configuration(self.device), "default_rep_delay", None)
        if not delay:
            return None
        text = (
            f"an estimate: {total_shots * delay:,.0f} s of quantum time from the device's own "
            f"pause of {1e6 * delay:g} µs after each of {total_shots:,} shots; the circuits "
            "themselves and some seconds a job come on top. IBM charges quantum time by the "
            "instance's plan"
        )
        if self.mode == "session":
            text += (
                f"; a session costs for as long as it is open, here up to {self.session_seconds} s"
            )
        return Price(text)


class IBMJob:
    """A job that IBM, or the snapshot's simulator, has taken: a `CloudJob`."""

    def __init__(self, service: IBMService, job: Any) -> None:
        self._service, self._job = service, job
        self.job_id: str = job.job_id()

    def state(self) -> JobState:
        """What IBM says about it; see `CloudJob`."""
        try:
            status = self._job.status()
        except Exception as error:
            raise Unreachable(words_of(error)) from error
        return state_of(status)

    def message(self) -> str:
        """IBM's own words about a failed job."""
        try:
            if self._service.local:
                self._job.result()
            return redacted(str(self._job.error_message() or ""))
        except Exception as error:
            return words_of(error)

    def measured(self, shape: tuple[int, int, int], *, seed: int) -> Measured:
        """What it measured; see `CloudJob`. `seed` is not used: IBM gives every shot."""
        from qiskit_ibm_runtime.exceptions import (
            RuntimeInvalidStateError,
            RuntimeJobFailureError,
            RuntimeJobMaxTimeoutError,
        )

        try:
            result = self._job.result()
        except (RuntimeInvalidStateError, RuntimeJobFailureError, RuntimeJobMaxTimeoutError) as bad:
            raise JobError(f"{self._service}: {words_of(bad)}") from bad
        except Exception as error:
            if not self._service.local and of_network(error):
                raise Unreachable(words_of(error)) from error
            raise JobError(
                f"{self._service}: the result of {self.job_id} cannot be read: {words_of(error)} "
                "It is still at the service: get it with another version of qiskit-ibm-runtime."
            ) from error
        if result is None:
            raise JobError(
                f"{self._service} has no result for {self.job_id}: it was deleted, or could be "
                "read once and was read. Nothing was made of it."
            )
        return as_measured(_unpacked(result), shape, str(self._service))


def _unpacked(result: Any) -> Bits:
    """Shots [row, shot, clbit] of a PrimitiveResult; its registers side by side, in their order."""
    pubs = []
    for pub in result:
        registers = []
        for array in pub.data.values():
            bits = np.unpackbits(array.array, axis=-1)[..., ::-1][..., : array.num_bits]
            registers.append(bits.reshape(-1, *bits.shape[-2:]))
        pubs.append(np.concatenate(registers, axis=-1))
    return np.concatenate(pubs)


def _needed() -> None:
    with needs("ibm", "IBM Quantum"):
        import qiskit_ibm_runtime.executor_sampler  # noqa: F401


def _post_once(client: Any) -> None:
    """Keep IBM's client from sending a request to run a job again by itself.

    It repeats a POST after some answers 5xx, without telling; here a job's tag is looked up
    instead before anything is sent a second time.
    """
    session = getattr(client, "_session", None)
    for adapter in getattr(session, "adapters", {}).values():
        adapter.max_retries = adapter.max_retries.new(status_forcelist=())


def _configuration(device: Any) -> Any:
    configuration = getattr(device, "configuration", None)
    return configuration() if callable(configuration) else None


def _whole(number: Any) -> int | None:
    return number if isinstance(number, int) and number > 0 else None
