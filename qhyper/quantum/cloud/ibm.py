"""IBM Quantum: jobs through the client-side `Sampler` of qiskit-ibm-runtime.

Names that begin with `fake_` are snapshots of devices, simulated on this machine in IBM's local
testing mode, with the same sampler and options.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any, ClassVar, Literal
from weakref import WeakValueDictionary

from qhyper.errors import ConfigurationError, MissingError, unknown
from qhyper.quantum.cloud.door import (
    CloudJob,
    Denied,
    Limits,
    NotFound,
    PlannedJobs,
    Price,
    Pub,
    Rejected,
    Service,
    Unreachable,
    kept,
)
from qhyper.quantum.cloud.ibm_account import IBMAccount, snapshot
from qhyper.quantum.cloud.ibm_errors import (
    denied,
    no_answer,
    no_room,
    of_request,
    of_running,
    refusal,
    status_code,
)
from qhyper.quantum.cloud.ibm_job import IBMJob
from qhyper.quantum.cloud.ibm_options import checked_decoupling, checked_twirling, shared_out
from qhyper.quantum.cloud.options import check_flag, check_text, check_whole
from qhyper.quantum.cloud.redaction import redacted, words_of

MODES = ("job", "batch", "session")
NOISES = ("full", "readout", "none")
EXECUTIONS = 10_000_000
"""Rows times shots of a sampler's job, by IBM's documentation."""
_FULL_NOISE_QUBITS = 10


class IBMService(Service):
    """A device of IBM Quantum, or a snapshot of one (`fake_torino`) on this machine.

    - name: the device's, or that of a snapshot
    - account: the name of an account saved by `QiskitRuntimeService.save_account`; unless told,
      IBM's own order: the environment (QISKIT_IBM_TOKEN), then the default saved account
    - instance: the instance that pays, its CRN or name; there is no default, because IBM would
      choose one, with free plans first
    - mode: "job", "batch" (the jobs sent together) or "session" (which reserves the device, and
      costs for as long as it is open; opened by the first job, always closed by `close`)
    - session_seconds: how many seconds a session may be open at the most; a session needs it
    - dynamical_decoupling: "XX", "XpXm" or "XY4"; True is "XX"
    - twirling: True for Pauli twirling of gates and measurements, or a mapping of `gates`,
      `measure` (both true or false) and `num_randomizations` (32; lowered to a divisor of the
      shots, so that no more shots are measured than asked for, and 8 at the least)
    - fractional_gates: whether circuits may have the device's rotations by any angle (rx, rzz);
      not together with twirling of gates
    - max_execution_time: seconds on the device after which IBM ends a job
    - gate_budget: two-qubit gates times rows of a job at the most; unlimited unless told
    - noise: of a snapshot: "full", "readout" (readout errors alone) or "none". Unless told it is
      full up to 10 measured qubits, and readout above, where full noise takes a minute a row
    - seed: of a snapshot's simulator; a job's own seed follows from it and from the job's tag

    Jobs are never private: their results can be read as often as wanted. The device is looked up
    when it is first asked for. Raises MissingError without the extra, an account or the network,
    and ConfigurationError for an unknown name or an option that cannot be.
    """

    after_colon: ClassVar[str] = "name"
    measures = ("dynamical_decoupling", "twirling", "fractional_gates", "noise", "seed")

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
        fractional_gates: bool | None = None,
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
        check_flag("fractional_gates", fractional_gates)
        check_whole("session_seconds", session_seconds)
        check_whole("max_execution_time", max_execution_time)
        check_whole("gate_budget", gate_budget)
        check_whole("seed", seed, least=0)
        self.name, self.mode, self.session_seconds = name, mode, session_seconds
        self.max_execution_time, self.noise, self.seed = max_execution_time, noise, seed
        self.dynamical_decoupling = checked_decoupling(dynamical_decoupling)
        self.twirling = checked_twirling(twirling)
        self.fractional_gates, self.gate_budget = bool(fractional_gates), gate_budget
        if self.fractional_gates and self.twirling is not None and self.twirling["gates"]:
            raise ConfigurationError(
                "Got fractional_gates with twirling of gates; Pauli twirling is of Clifford gates "
                "alone. Leave one of them out, or say twirling={'gates': false}."
            )
        self.local = name.startswith("fake_")
        self.searchable = not self.local
        self._group: Any = None
        """the open batch or session"""
        self._jobs: WeakValueDictionary[str, CloudJob] = WeakValueDictionary()
        """of a snapshot, as long as somebody is waiting for them"""
        self._simulators: dict[str, Any] = {}
        if self.local:
            if noise is not None and noise not in NOISES:
                raise unknown("noise", str(noise), NOISES)
            if fractional_gates is not None:
                raise ConfigurationError(
                    f"The option fractional_gates is for devices; the snapshot {name} has the "
                    "gates that it has."
                )
            self.device = snapshot(name)
        else:
            if noise is not None or seed is not None:
                raise ConfigurationError(
                    f"The options noise and seed are for snapshots (fake_…); {name} is a device."
                )
            self._account = IBMAccount(str(self), account, instance)

    def __str__(self) -> str:
        return f"ibm:{self.name}"

    @property
    def place(self) -> str:
        """The device, whichever account and instance pays; see `Service`."""
        return str(self)

    @cached_property
    def device(self) -> Any:
        """IBM's backend object; raises ConfigurationError for an unknown name, or MissingError."""
        return self._account.device(self.name, fractional_gates=self.fractional_gates)

    @cached_property
    def limits(self) -> Limits:
        """What fits in a job; raises as `device` does."""
        return Limits(
            qubits=self.device.num_qubits,
            shots=_whole(getattr(_configuration(self.device), "max_shots", None)),
            executions=EXECUTIONS,
            gates=self.gate_budget,
        )

    # -- sending ------------------------------------------------------------------------------

    def run(self, pubs: Sequence[Pub], shots: int, *, tag: str) -> IBMJob:
        """Send one job; see `Service`. Raises Denied if the account is not let in."""
        try:
            place = self._simulator(pubs) if self.local else self._opened()
        except Exception as error:  # no job was sent, and an unused session costs nothing
            raise self._not_sent(f"no {self.mode} was opened", error) from error
        before = 0 if self.local else self._account.posts
        try:
            job = IBMJob(str(self), self._sampled(place, pubs, shots, tag), local=self.local)
        except ConfigurationError as error:
            raise Rejected(str(error)) from error
        except Exception as error:
            if self.local or (self._account.posts == before and not of_running(error)):
                raise self._not_sent("no job was sent", error) from error
            if refusal(error) is None:
                raise
            if denied(error):
                raise Denied(words_of(error)) from error
            raise Rejected(words_of(error), again=no_room(error)) from error
        if self.local:
            self._jobs[job.job_id] = job
        return job

    def _not_sent(self, what: str, error: Exception) -> Exception:
        """What an error is at the door that came before a job was on its way."""
        from qiskit.providers import QiskitBackendNotFoundError

        words = f"{what}: {words_of(error)}"
        if isinstance(error, QiskitBackendNotFoundError):  # all that is left of a lost list
            return Rejected(words, again=True)
        if self.local or not of_request(error):
            return Rejected(words)
        if denied(error):
            return Denied(words)
        code = status_code(error)
        return Rejected(words, again=code is None or code >= 500 or no_room(error))

    def _sampled(self, place: Any, pubs: Sequence[Pub], shots: int, tag: str) -> Any:
        """IBM's own job object, of pubs that the sampler has sent to a place."""
        from qiskit_ibm_runtime.executor_sampler import Sampler

        sampler = Sampler(mode=place, options=self._options(shots, tag))
        sent: list[Any] = []
        for circuit, rows in pubs:  # rows without parameters count as one to the sampler
            sent += [(circuit, rows)] if rows.shape[1] else [(circuit,)] * len(rows)
        return sampler.run(sent, shots=shots)

    def preview(self, pubs: Sequence[Pub], shots: int, *, tag: str) -> str:
        """The JSON that `run` would post; nothing for a snapshot, which is sent none.

        In a batch or session, its number is "…" until IBM has given one. Raises
        ConfigurationError for shots that the options cannot be used with.
        """
        if self.local:
            return ""
        from qhyper.quantum.cloud.ibm_transport import Written

        place = self._account.on_paper(self.device)
        if self.mode != "job":
            place = self._kind(place, create_new=False)
            place._session_id = "…"
        try:
            self._sampled(place, pubs, shots, tag)
        except Written as written:
            return written.text
        return ""

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
            randomizations = shared_out(shots, self.twirling["num_randomizations"])
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
        if self._group is None:
            self._group = self._kind(self.device, max_time=self.session_seconds)
        return self._group

    @property
    def _kind(self) -> Any:
        """IBM's class of what jobs are sent to together."""
        from qiskit_ibm_runtime import Batch, Session

        return Batch if self.mode == "batch" else Session

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
        group, self._group = self._group, None
        if group is None:
            return
        try:
            group.close()
        except Exception as error:
            if self.mode == "batch":
                return  # it costs nothing while it is open, and ends by itself
            raise MissingError(
                f"{self}: the session {group.session_id} could not be closed: {words_of(error)} It "
                f"costs until it ends by itself, after {self.session_seconds} s at the most: "
                "close it at https://quantum.cloud.ibm.com/workloads."
            ) from error

    # -- jobs ---------------------------------------------------------------------------------

    def job(self, job_id: str) -> CloudJob:
        """A job by its number; see `Service`."""
        if self.local:
            return kept(self, self._jobs, job_id)
        try:
            return IBMJob(str(self), self._account.service.job(job_id))
        except Exception as error:
            found = no_answer(error)
            if isinstance(found, NotFound) or status_code(error) == 400:
                raise NotFound(
                    f"{self} knows no job {job_id}: {words_of(error)} Check the number, the "
                    "account and the instance."
                ) from error
            raise found from error

    def find(self, tag: str) -> list[str]:
        """The numbers of the jobs with this tag, oldest first; see `Service`."""
        if self.local:
            return super().find(tag)
        try:
            found = self._account.service.jobs(limit=20, job_tags=[tag], descending=False)
            return [job.job_id() for job in found]
        except Exception as error:
            raise _of_question(error) from error

    def cancel(self, job_id: str) -> None:
        """Cancel a job; see `Service`. Raises ConfigurationError for one that has ended."""
        if self.local:
            return super().cancel(job_id)
        from qiskit_ibm_runtime.exceptions import RuntimeInvalidStateError

        try:
            self._account.service.job(job_id).cancel()
        except RuntimeInvalidStateError as error:
            raise ConfigurationError(
                f"{self} cannot cancel {job_id}: {words_of(error)} It has ended; fetch it."
            ) from error
        except Exception as error:
            raise no_answer(error) from error

    def unavailable(self) -> str | None:
        """Why the device takes no jobs now; see `Service`. Raises Unreachable or Denied."""
        if self.local:
            return None
        device = self.device
        try:
            status, usage = device.status(), self._account.service.usage()
        except Exception as error:
            raise _of_question(error) from error
        if not status.operational:
            return f"{redacted(str(status.status_msg)) or 'it is not operational'}."
        if usage.get("usage_limit_reached"):
            return "the instance has used up its time, and IBM would run no job of it."
        return None

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

    def price(self, planned: Sequence[PlannedJobs]) -> Price | None:
        """The quantum time as far as it is known; IBM charges for that by the instance's plan."""
        if self.local:
            return super().price(planned)
        delay = getattr(_configuration(self.device), "default_rep_delay", None)
        if not delay:
            return None
        total_shots = sum(each.rows * each.shots for each in planned)
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


def _of_question(error: Exception) -> Exception:
    """What an error of a question that is about no single job is at the door."""
    found = no_answer(error)
    return Unreachable(str(found)) if isinstance(found, NotFound) else found


def _configuration(device: Any) -> Any:
    configuration = getattr(device, "configuration", None)
    return configuration() if callable(configuration) else None


def _whole(number: Any) -> int | None:
    return number if isinstance(number, int) and number > 0 else None
