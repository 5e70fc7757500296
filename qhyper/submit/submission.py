"""Submissions: the draws of a trained generator, from a quantum computer, on any later day.

What of it is written down, and where, is in `qhyper.submit.stored`.
"""

import io
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from qhyper.bits import Bits
from qhyper.errors import ConfigurationError, MissingError, PendingError, StorageError
from qhyper.quantum.backends import build_cloud_backend, check_cloud
from qhyper.quantum.cloud import mthree_mitigation as mitigation
from qhyper.quantum.cloud.backend import Batches, CloudExecutable
from qhyper.quantum.cloud.caps import NO_CAPS, Caps
from qhyper.quantum.cloud.ledger import Ledger
from qhyper.quantum.cloud.ledger_file import exists
from qhyper.quantum.cloud.mthree_mitigation import QuasiProbabilities
from qhyper.quantum.cloud.qiskit_isa import Isa, load, save, transpiled
from qhyper.quantum.cloud.readout import angles_of, preparation
from qhyper.quantum.cloud.record import CALIBRATION, Record, Request, State
from qhyper.run.comparison import check_same_data, load_generator
from qhyper.run.config import DEFAULT_PAID_SHOTS, Entry
from qhyper.run.directory import Run
from qhyper.run.problem import build_problem
from qhyper.storage import write_whole
from qhyper.streams import Streams
from qhyper.submit.draws import compare_draws
from qhyper.submit.page import write_page
from qhyper.submit.rows import rows_of
from qhyper.submit.stored import (
    Found,
    Identity,
    SubmissionSettings,
    Written,
    next_identity,
    submissions,
)
from qhyper.training.search import is_control

CIRCUIT, PREPARATION = "circuit.qpy", "preparation.qpy"
DRAWS = "draws"
"""What the jobs of the draws are for."""
CALIBRATION_SHOTS = 64
_SIMULATED_SHOTS, _SIMULATED_BITS = 16_384, 1 << 24
"""Draws of the simulator of each seed, or fewer where their bits would be more; as many as the
device's at the least."""


class Submission:
    """A submission of a run, prepared: the generator, and its circuit on the backend.

    With an `identity` it is one that was written down, and has the circuit that was sent; without
    it is a plan. Raises ConfigurationError for what cannot be sent, MissingError where an extra, an
    account or the network is missing, and StorageError where the run's data or the circuit are no
    longer those that it began with.
    """

    def __init__(
        self, run: Run, settings: SubmissionSettings, identity: Identity | None = None
    ) -> None:
        check_cloud(settings.backend)
        self.run, self.settings, self.identity = run, settings, identity or Identity(run, 0)
        problem = build_problem(run.found_config, tested=False)
        self.problem, self.objective = problem, problem.objective
        check_same_data(run, problem)
        generator = load_generator(run, settings.entry, problem=problem)
        try:
            self.rows = rows_of(generator)
        except ConfigurationError as error:
            raise ConfigurationError(
                f"'{settings.entry}' cannot be submitted. {error} Choose another entry with "
                "--entry."
            ) from error
        if settings.calibration_shots:
            self._check_mitigation()
        self.generator = generator
        self.backend = build_cloud_backend(settings.backend, settings.options)
        if self.backend.mitigate:
            raise ConfigurationError(
                "Got the option mitigate=true, which is for trainings. Say --mitigate, which "
                "measures the readout errors of a submission."
            )
        if identity is None:
            self.isa = cast(CloudExecutable, self.backend.compile(self.rows.circuit)).isa
            return
        # the qubits that were chosen stay, though the device's errors change by the day
        self.isa = load(identity.folder / CIRCUIT)
        same = self.isa.fingerprint == self.backend.fingerprint(self.rows.circuit)
        if not same or identity.read().content not in self.contents():
            raise StorageError(
                f"{identity} was for another circuit, other angles, shots or options than the run "
                "has now. Put the run's files back as they were when it was sent."
            )

    # -- what is sent -------------------------------------------------------------------------

    def requests(self) -> list[tuple[Request, Isa]]:
        """The requests to send, each with its circuit: calibration, if asked for, and draws."""
        found = []
        if self.settings.calibration_shots:
            known = self._preparation
            bits = mitigation.calibration_bits(len(known.qubits))
            calibration = self._request(
                known, CALIBRATION, angles_of(bits), self.settings.calibration_shots
            )
            found.append((calibration, known))
        draws = self._request(self.isa, DRAWS, self._angles(), self.settings.shots)
        return [*found, (draws, self.isa)]

    def _request(
        self, isa: Isa, purpose: str, angles: npt.NDArray[np.float64], shots: int
    ) -> Request:
        return self.backend.request(self.identity.scope, purpose, isa, angles, shots)

    @cached_property
    def _preparation(self) -> Isa:
        """The circuit that prepares known bitstrings on the qubits of the draws."""
        path, qubits = self.identity.folder / PREPARATION, self.isa.qubits
        if path.is_file():
            return load(path)
        known, device = preparation(len(qubits)), self.backend.service.device
        return transpiled(known, device, level=1, layout=qubits)

    def _check_mitigation(self) -> None:
        """Raise what speaks against measuring readout errors, before they are paid for."""
        if self.rows.n_rows > 1:
            raise ConfigurationError(
                f"Got --mitigate for '{self.settings.entry}', whose draws are put together from "
                f"{self.rows.n_rows:,} rows: mthree weights the strings of one row, and no draws "
                "of all of them. Leave --mitigate out."
            )
        mitigation.check_installed()

    @property
    def _chosen(self) -> list[int]:
        """The generator's replicas of the seeds asked for."""
        return [self.generator.seeds.index(seed) for seed in self.settings.seeds]

    def _angles(self) -> npt.NDArray[np.float64]:
        """The trained angles [seed · row, angle] of the seeds asked for."""
        angles = self.rows.angles[self._chosen]
        return angles.reshape(-1, angles.shape[-1])

    @property
    def batches(self) -> Batches:
        """What is sent, but the preflight."""
        return {
            request.purpose: (1, len(request.rows), request.shots) for request, _ in self.requests()
        }

    def outlook(self) -> dict[str, Any]:
        """What it would take, in words."""
        told: dict[str, Any] = {
            "entry": self.settings.entry, "seeds": ", ".join(map(str, self.settings.seeds)),
        }  # fmt: skip
        if self.rows.n_rows > 1:
            told["rows of a draw"] = self.rows.n_rows
        return told | self.backend.plan(self.isa, self.batches)

    def content(self) -> str:
        """What tells this submission from one that asks for something else."""
        return self.contents()[0]

    def contents(self) -> list[str]:
        """Its content, and those that earlier versions wrote down for it."""
        *_, (draws, _) = self.requests()
        calibration = f"calibration {self.settings.calibration_shots}"
        return [f"{content} {calibration}" for content in draws.contents()]

    def preview(self) -> str:
        """The JSON or program that the service would be sent for its draws, if it says.

        Of many rows the first; see `CloudBackend.preview`.
        """
        return self.backend.preview(self.isa, self._angles(), self.settings.shots)

    # -- sending and fetching -----------------------------------------------------------------

    def record(self, paid_shots: int, caps: Caps) -> None:
        """Write down what is asked, and what it may cost at the most, before anything is sent."""
        save(self.isa, self.identity.folder / CIRCUIT)
        if self.settings.calibration_shots:
            save(self._preparation, self.identity.folder / PREPARATION)
        self.identity.write(
            Written(self.identity.number, self.settings, paid_shots, self.content(),
                    self.outlook(), caps=caps)
        )  # fmt: skip

    def carry_on(
        self,
        *,
        preflight_wait: float,
        wait: float,
        stop: Callable[[], bool] = lambda: False,
        warn: Callable[[str], None] = print,
    ) -> tuple[list[Record], Written | None]:
        """Send what is not sent yet, and store what is done, waiting `wait` seconds for it.

        The preflight comes first, and nothing else is sent before it has passed. What another
        process could not fetch is waited for to the backend's deadline. Returns the jobs and, once
        all are done, what was found, written to the submission's folder too. Raises PendingError
        while the preflight is not back after `preflight_wait`, and JobError if it comes back
        wrong.
        """
        written = self.identity.read()
        service = self.backend.service
        if service.local or not service.retrievable:
            preflight_wait = wait = self.backend.deadline
        with self.backend.connected(
            self.run.path, self.run.identity, self.identity.scope, written.paid_shots,
            caps=written.caps, stop=stop, warn=warn,
        ) as dispatcher:  # fmt: skip
            try:
                if not _all_sent(dispatcher.ledger, self.identity):
                    if not service.local:
                        warn(f"Price of {self.identity.title}: {written.outlook['price']}.")
                    self.backend.preflight(self.isa, preflight_wait)
            except PendingError as error:
                raise PendingError(
                    f"{self.identity.title}: its preflight on {self.backend} is not back after "
                    f"{preflight_wait:g} s, so its draws are not sent yet. `qhyper fetch "
                    f"{self.run.path}` sends them once it is."
                ) from error
            for request, isa in self.requests():  # all of them, before any is waited for
                dispatcher.send(request, isa)
            sent = {
                request.purpose: dispatcher.obtain(request, isa, wait)
                for request, isa in self.requests()
            }
            every = [record for records in sent.values() for record in records]
            if any(record.state != State.DONE for record in every):
                return every, None
            measured = {purpose: dispatcher.bits(records) for purpose, records in sent.items()}
            everything = dispatcher.ledger.jobs(self.identity.scope)
        return every, self._scored(written, measured, everything)

    def _scored(
        self, written: Written, measured: dict[str, Bits], records: Sequence[Record]
    ) -> Written:
        """The draws scored, with the simulator's."""
        by_row = measured[DRAWS].reshape(
            len(self.settings.seeds), self.rows.n_rows, *measured[DRAWS].shape[1:]
        )
        draws = self.rows.draws(by_row)
        buffer = io.BytesIO()
        np.savez(buffer, bits=draws, seeds=np.array(self.settings.seeds))
        write_whole(self.identity.folder / "draws.npz", buffer.getvalue())
        quasi, why_not = None, ""
        if CALIBRATION in measured:
            try:
                matrices = mitigation.confusion(measured[CALIBRATION])
                quasi = [self._mitigated(row, matrices) for row in measured[DRAWS]]
            except (ConfigurationError, MissingError) as error:  # the draws are good without
                why_not = str(error)
        simulated = self.generator.sample(
            max(self.settings.shots, min(_SIMULATED_SHOTS, _SIMULATED_BITS // draws.shape[-1])),
            rng=Streams(self.generator.seeds)(0, "evaluate"),
        ).bits[self._chosen, 0]
        certified = self.run.read_json("certificate.json")
        certificate = None if certified is None else certified["certificate"]
        minimum = None if certificate is None else certificate["minimum_loss"]
        found = Found(
            certificate=certificate,
            about=self.backend.service.about(len(self.isa.qubits)),
            not_mitigated=why_not,
            jobs=[_shown(record) for record in records],
            outcome=compare_draws(
                draws, simulated, self.objective, minimum=minimum, quasi=quasi,
                accuracy=self._accuracy(),
            ),
        )  # fmt: skip
        complete = replace(written, found=found)
        self.identity.write(complete)
        write_page(self.identity)
        return complete

    def _accuracy(self) -> Callable[[Bits], npt.NDArray[np.float64]] | None:
        """The shares of test rows that draws get right; None where there is nothing to classify."""
        dataset = self.problem.dataset
        if dataset is None or not self.objective.capabilities.accuracy:
            return None
        return lambda bits: self.objective.accuracy(bits, dataset.test)

    def _mitigated(self, row: Bits, matrices: npt.NDArray[np.float64]) -> QuasiProbabilities:
        """Quasi-probabilities of one seed's shots [shot, qubit], of strings in weight order."""
        found = mitigation.quasi_probabilities(row, matrices)
        return replace(found, strings=self.rows.draws(found.strings[None]))


def _shown(record: Record) -> dict[str, Any]:
    """A job as pages and JSON show it."""
    shown = ("key", "purpose", "chunk", "state", "job_id", "rows", "shots", "note", "message",
             "attempts", "sent", "ended")  # fmt: skip
    values = record.values()
    return {name: values[name] for name in shown}


def submit(
    run: Run, settings: SubmissionSettings, *, paid_shots: int | None = None, caps: Caps = NO_CAPS,
    paid: bool = False, again: bool = False,
) -> Submission:  # fmt: skip
    """The submission of a run that asks for this, written down and ready to `carry_on`.

    One that asked for the same and is not sent to its end is gone on with. `paid_shots` is its
    shot budget, 100,000 unless told; with `paid` it is as large as needed. The `caps` hold for the
    whole run, whatever it has sent before. Raises ConfigurationError if the budget or a cap is too
    small, or if an earlier submission has sent the same, unless it is to be sent `again`.
    """
    if paid_shots is not None and paid_shots < 0:
        raise ConfigurationError(f"Got --paid-shots {paid_shots}; expected shots from 0.")
    new = Submission(run, settings)
    needed = new.backend.shots(len(new.isa.qubits), new.batches)
    allowed = DEFAULT_PAID_SHOTS if paid_shots is None else paid_shots
    if needed > allowed and not paid:
        raise ConfigurationError(
            f"This submission would send {needed:,} shots; the shot budget is {allowed:,}. Look at "
            f"it with --dry-run, then allow it with --yes or --paid-shots {needed}, or lower "
            "--shots."
        )
    contents = new.contents()
    with Ledger(run.path, run.identity) as ledger, ledger.working():  # one at a time
        same = [each for each in submissions(run) if each.read().content in contents]
        open_ones = [each for each in same if not _all_sent(ledger, each)]
        late = [each for each in same if _differs(each, settings)]
        if late and not open_ones and not again:  # all is sent: it is fetched with other options
            new = Submission(run, settings, late[0])
            new.record(max(needed, allowed) if paid else allowed, caps)
            return new
        if same and not open_ones and not again:
            raise ConfigurationError(
                f"{same[-1]} has sent the same already. Fetch it with `qhyper fetch {run.path}`; "
                "to pay for it once more, say --again."
            )
        if open_ones:
            new = Submission(run, settings, open_ones[0])
        else:
            new.backend.check_caps(caps, run.path, new.isa, new.batches)
            new.identity = next_identity(run)
        new.record(max(needed, allowed) if paid else allowed, caps)
    return new


def reopen(identity: Identity) -> Submission:
    """A submission that was written down; raises StorageError if it is not there."""
    return Submission(identity.run, identity.read().settings, identity)


def collect(
    identity: Identity,
    wait: float,
    *,
    stop: Callable[[], bool] = lambda: False,
    warn: Callable[[str], None] = print,
) -> list[Record]:
    """Store what the jobs of a submission have measured; its jobs.

    It takes the ledger and the account alone: the device may be gone, and the run's data may have
    moved. At the most `wait` seconds for all jobs.
    """
    written, run = identity.read(), identity.run
    backend = build_cloud_backend(written.settings.backend, written.settings.options)
    with backend.connected(
        run.path, run.identity, identity.scope, written.paid_shots, caps=written.caps, stop=stop,
        warn=warn,
    ) as dispatcher:  # fmt: skip
        records = dispatcher.ledger.jobs(identity.scope)
        dispatcher.recover([r for r in records if r.state != State.PLANNED])
        return dispatcher.fetch(records, wait)


def begun(identity: Identity) -> bool:
    """Whether a submission was tried to be sent: its preflight at the least."""
    run = identity.run
    if not exists(run.path):
        return False
    with Ledger(run.path, run.identity) as ledger:
        found = ledger.jobs(identity.scope)
        return any(r.sent is not None or r.state != State.PLANNED for r in found)


def entry_of(run: Run, title: str | None) -> Entry:
    """The entry called `title`, or the only one of the run that is no control.

    Raises ConfigurationError if there is no such entry, or several.
    """
    entries = {e.title: e for e in run.config.entries or [] if not is_control(e.name)}
    if title is None and len(entries) == 1:
        (title,) = entries
    if title not in entries:
        raise ConfigurationError(
            f"Got --entry {title}; expected one of the generators of {run.path}: "
            f"{', '.join(entries)}."
        )
    return entries[title]


def best_seed(run: Run, entry: Entry) -> int:
    """The seed of an entry whose trained generator has the lowest mean loss."""
    result = run.read_result(entry.folder)
    if result is None:
        raise StorageError(
            f"{entry.title} is not finished in {run.path}. Finish the run with `qhyper resume "
            f"{run.path}`."
        )
    return int(result.seeds[int(np.argmin(result.final_loss))])


def _differs(identity: Identity, settings: SubmissionSettings) -> bool:
    """Whether a submission that is not fetched was asked for with other options of its backend."""
    written = identity.read()
    return written.found is None and written.settings != settings


def _all_sent(ledger: Ledger, identity: Identity) -> bool:
    """Whether all jobs of a submission were sent, or may have been."""
    found = ledger.jobs(identity.scope, DRAWS)
    waiting = (State.PLANNED, State.SUBMITTING)
    # a job that failed without an attempt was refused
    return bool(found) and all(r.state not in waiting and r.attempts for r in found)
