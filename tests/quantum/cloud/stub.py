"""A stub service: it speaks the interface of a vendor, on a state vector, and fails as it is told.

What it has accepted, and so would charge for, is in a file of its own (`folder/vendor.sqlite`),
which outlives the process that sent it, as a vendor's own records do. What it measures depends on
the key in the job's tag alone, so that an undisturbed and a disturbed run can be compared bit by
bit.
"""

import hashlib
import io
import sqlite3
import time
import uuid
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import numpy as np

from qhyper.quantum.cloud.door import (
    Denied,
    JobState,
    Limits,
    Measured,
    NotFound,
    Price,
    Rejected,
    Service,
    Unreachable,
    Unreadable,
    as_measured,
)


class StubService(Service):
    """A service whose faults are told to it.

    - folder: where its records are kept
    - tags: whether jobs can be found by their tag
    - listed_after: seconds after which a job can be found by its tag
    - late: seconds until a job is done
    - pace: seconds that it sleeps before and after it accepts a job
    - faults: what befalls the calls of `run`, one after the other: None (nothing), "lost" (the job
      is accepted, the reply is not delivered), "never" (it is not accepted, and there is no
      reply), "refused" (for good), "busy" (rate limit)
    - spoiled: what is wrong with all jobs, or by the number of a job in the order in which they
      were accepted, from 0: "failed", "cancelled", "stuck" (never done), "unreachable", "counts",
      "width", "short", "zeros", "reversed", "inverted", "stuck bit", "read once",
      "part" (only the first row was run), "forgotten" (its number is not known any more)
    - away: whether it answers no question any more
    - away_after: number of calls of `run` after which it is away for good
    - known_after: seconds after which a job can be asked for by its number
    - says: what it says of failures
    - silent: number of questions that it does not answer at first
    - denied: whether the login has expired
    - pending: how many jobs may be pending at once
    - retired: whether the device is gone, and nothing but its jobs is left
    - maintenance: what it says about itself, if it takes no jobs
    """

    measures = ()

    def __init__(
        self, folder, *, qubits=5, tags=True, listed_after=0.0, late=0.0, pace=0.0, faults=(),
        spoiled=None, away=False, maintenance=None, rows=None, shots=None, executions=None,
        gates=None, away_after=None, known_after=0.0, says="calibration lost",
        retrievable=True, silent=0, denied=False, retired=False, pending=None,
    ):  # fmt: skip
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.qubits, self.retired = qubits, retired
        self.silent, self.denied, self.pending = silent, denied, pending
        self.limits = Limits(qubits, rows=rows, shots=shots, executions=executions, gates=gates)
        self.searchable, self.local = tags, False
        self.listed_after, self.late, self.pace = listed_after, late, pace
        self.faults, self.spoiled, self.away = list(faults), spoiled, away
        self.maintenance, self.away_after = maintenance, away_after
        self.known_after, self.says = known_after, says
        self.retrievable = retrievable
        self.calls = {"run": 0, "find": 0, "job": 0}
        self.opened = self.closed = 0
        with self._records() as records:
            records.execute(
                "CREATE TABLE IF NOT EXISTS jobs "
                "(id TEXT, tag TEXT, accepted REAL, shots BLOB, reads INTEGER)"
            )

    def __str__(self):
        return "stub"

    @cached_property
    def device(self):
        from qiskit.providers.fake_provider import GenericBackendV2

        assert not self.retired, "the device is gone"
        return GenericBackendV2(self.qubits, basis_gates=["rz", "sx", "x", "cz"], seed=1)

    # -- as a vendor's console shows it -------------------------------------------------------

    def accepted(self):
        """(number, tag) of every job that was accepted, and would be charged for."""
        with self._records() as records:
            return records.execute("SELECT id, tag FROM jobs ORDER BY accepted").fetchall()

    def packed(self, number):
        """What the job with this number, in the order of acceptance, is stored as."""
        with self._records() as records:
            query = "SELECT shots FROM jobs ORDER BY accepted"
            return records.execute(query).fetchall()[number][0]

    # -- the interface of a service -----------------------------------------------------------

    def run(self, pubs, shots, *, tag):
        self.calls["run"] += 1
        if self.away_after is not None and self.calls["run"] > self.away_after:
            self.away = True
        assert not self.retired, "the device is gone"
        if self.denied:
            raise Denied("the login is too old")
        fault = self.faults.pop(0) if self.faults else None
        if self.away or fault == "never":
            raise ConnectionError(f"the network is gone: {self.says}")
        if fault == "refused":
            raise Rejected(f"this circuit is not allowed: {self.says}")
        if fault == "busy":
            raise Rejected("too many requests", again=True)
        if self.pending is not None:
            jobs = [StubJob(self, number) for number, _ in self.accepted()]
            if sum(job.state() != JobState.DONE for job in jobs) >= self.pending:
                raise Rejected(f"limit of {self.pending} pending jobs", again=True)
        time.sleep(self.pace)
        job_id = uuid.uuid4().hex
        bits = np.concatenate([_simulated(circuit, rows, shots, tag) for circuit, rows in pubs])
        packed = io.BytesIO()
        np.save(packed, bits)
        with self._records() as records:
            row = (job_id, tag, time.time(), packed.getvalue(), 0)
            records.execute("INSERT INTO jobs VALUES (?, ?, ?, ?, ?)", row)
        time.sleep(self.pace)
        if fault == "lost":
            raise ConnectionError("connection reset by peer")
        return StubJob(self, job_id)

    def job(self, job_id):
        self.calls["job"] += 1
        self._answer()
        with self._records() as records:
            query = "SELECT id FROM jobs WHERE id = ? AND accepted <= ?"
            if not records.execute(query, (job_id, time.time() - self.known_after)).fetchone():
                raise NotFound(f"stub knows no job {job_id}. Check the number.")
        if self._spoiled(job_id) == "forgotten":
            raise NotFound(f"stub knows no job {job_id}. Check the number.")
        return StubJob(self, job_id)

    def find(self, tag):
        self.calls["find"] += 1
        self._answer()
        assert self.searchable
        with self._records() as records:
            found = records.execute(
                "SELECT id FROM jobs WHERE tag = ? AND accepted <= ? ORDER BY accepted",
                (tag, time.time() - self.listed_after),
            )
            return [job_id for (job_id,) in found.fetchall()]

    def unavailable(self):
        return self.maintenance

    def price(self, planned):
        dollars = sum(each.jobs * 0.3 + each.rows * each.shots * 0.001 for each in planned)
        return Price(f"{dollars:.2f} stub dollars", dollars)

    @contextmanager
    def sending(self):
        yield

    def close(self):
        self.closed += 1

    def cancel(self, job_id):
        self.spoiled = {**(self.spoiled or {}), self._number(job_id): "cancelled"}

    def _answer(self):
        if self.denied:
            raise Denied("the login is too old")
        self.silent -= 1
        if self.silent >= 0:
            raise Unreachable("HTTP 502")
        if self.away:
            raise Unreachable(f"the network is gone: {self.says}")

    def _spoiled(self, job_id):
        if not isinstance(self.spoiled, dict):
            return self.spoiled
        number = self._number(job_id)  # in TOML, keys are text
        return self.spoiled.get(number, self.spoiled.get(str(number)))

    def _number(self, job_id):
        return [number for number, _ in self.accepted()].index(job_id)

    @contextmanager
    def _records(self):
        base = sqlite3.connect(self.folder / "vendor.sqlite", timeout=30)
        try:
            with base:
                yield base
        finally:
            base.close()


class StubJob:
    """A job of the stub."""

    def __init__(self, service, job_id):
        self.service, self.job_id = service, job_id

    def state(self):
        self.service._answer()
        spoiled = self.service._spoiled(self.job_id)
        if spoiled == "unreachable":
            raise Unreachable("gateway timeout")
        if spoiled in ("failed", "cancelled"):
            return JobState(spoiled)
        if spoiled == "stuck":
            return JobState.RUNNING
        with self.service._records() as records:
            (accepted,) = records.execute(
                "SELECT accepted FROM jobs WHERE id = ?", (self.job_id,)
            ).fetchone()
        return JobState.DONE if time.time() >= accepted + self.service.late else JobState.QUEUED

    def message(self):
        return self.service.says

    def called(self):
        (tag,) = [tag for number, tag in self.service.accepted() if number == self.job_id]
        return tag

    def queue(self):
        return "third in the queue"

    def charged(self):
        return "0.30 stub dollars"

    def measured(self, shape, *, seed):
        self.service._answer()
        spoiled = self.service._spoiled(self.job_id)
        with self.service._records() as records:
            packed, reads = records.execute(
                "SELECT shots, reads FROM jobs WHERE id = ?", (self.job_id,)
            ).fetchone()
            records.execute("UPDATE jobs SET reads = ? WHERE id = ?", (reads + 1, self.job_id))
        if spoiled == "read once" and reads:
            raise Unreadable("the results of this job could be read once, and were read")
        if spoiled == "counts":
            raise Unreadable("stub returned counts alone; shots are expected", raw=packed)
        bits = np.load(io.BytesIO(packed))
        if spoiled == "part":
            missing = tuple(range(1, shape[0]))
            return Measured(np.where(np.arange(shape[0])[:, None, None] > 0, 0, bits), "", missing)
        bits = {
            "width": lambda b: b[..., :-1],
            "short": lambda b: b[:, :-1],
            "zeros": np.zeros_like,
            "reversed": lambda b: b[..., ::-1],
            "inverted": lambda b: 1 - b,
            "stuck bit": lambda b: np.where(np.arange(b.shape[-1]) == 1, 1, b),
        }.get(spoiled, lambda b: b)(bits)
        return as_measured(bits, shape, "stub")


def _simulated(circuit, rows, shots, tag):
    """Shots [row, shot, clbit], seeded by the key in the tag."""
    from qiskit_aer import AerSimulator

    key = "-".join(tag.split("-")[:2])  # what follows is the attempt
    seed = int(hashlib.sha256(key.encode()).hexdigest()[:12], 16)
    bound = [circuit.assign_parameters(row) for row in rows]
    simulator = AerSimulator(seed_simulator=seed, max_parallel_threads=1)
    result = simulator.run(bound, shots=shots, memory=True).result()
    texts = [result.get_memory(row) for row in range(len(rows))]
    return np.array([[[int(b) for b in t[::-1]] for t in row] for row in texts], dtype=np.uint8)
