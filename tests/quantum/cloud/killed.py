"""A gradient of 20 jobs whose process is killed (SIGKILL), and restarted until it is done.

    python killed.py random POINTS SEED [MODE]    at so many random times, in each mode
    python killed.py at MODE               at every point of `POINTS` in the mode `tags`, in
                                           another one at those where tags matter

Prints a JSON object a mode. It is a program of its own because it forks: nothing has used threads
before. Each run has its own directory and its own vendor, whose records are what would be charged.
"""

import importlib.util
import json
import os
import random
import signal
import statistics
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

import numpy as np

from qhyper.errors import QhyperError
from qhyper.gradients.parameter_shift import ParameterShift
from qhyper.quantum.circuit import Circuit, Gate
from qhyper.quantum.cloud import ledger as ledger_module
from qhyper.quantum.cloud import ledger_file
from qhyper.quantum.cloud.backend import CloudBackend
from qhyper.quantum.cloud.ledger import Ledger
from qhyper.quantum.cloud.ledger_file import exists
from qhyper.quantum.cloud.questions import Patience
from qhyper.quantum.cloud.record import State
from qhyper.quantum.generator import QuantumHyperNetwork
from qhyper.risk import Expectation
from qhyper.streams import Streams

_spec = importlib.util.spec_from_file_location("stub", Path(__file__).with_name("stub.py"))
stub = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(stub)

QUBITS, LAYERS, SHOTS, ROWS = 4, 5, 16, 2
JOBS = 2 * QUBITS * LAYERS // ROWS + 2  # of the gradient, and two of the preflight
BUDGET = 2 * QUBITS * LAYERS * SHOTS + 4 * 32  # nothing over
RUN, SCOPE = "the run", "training"
MODES = {  # (what the vendor does, grace in seconds)
    "tags": ({"tags": True}, 0.3),
    "late tags": ({"tags": True, "listed_after": 0.3}, 1.0),
    "no tags": ({"tags": False}, 0.3),
}
MEMORY = "/dev/shm"
GRADIENT, TROUBLE = "gradient.npy", "trouble.txt"


def circuit():
    """20 angles: their gradient is 40 rows."""
    gates = []
    for layer in range(LAYERS):
        gates += [Gate("ry", (q,), QUBITS * layer + q) for q in range(QUBITS)]
        gates += [Gate("cz", (q, q + 1)) for q in range(QUBITS - 1)]
    return Circuit(QUBITS, tuple(gates))


def cost(bits):
    """Bits [..., bit] to losses [...]."""
    return (bits * 2.0 ** np.arange(QUBITS)).sum(-1)


def service_of(folder, **options):
    return stub.StubService(folder / "vendor", qubits=QUBITS, rows=ROWS, pace=0.003, **options)


def backend_of(folder, mode):
    options, grace = MODES[mode]
    patience = Patience(grace=grace, first_poll=0.01, last_poll=0.05)
    return CloudBackend(service_of(folder, **options), patience=patience, deadline=30)


def gradient(folder, mode):
    """The gradient [angle], through the ledger in `folder`."""
    backend = backend_of(folder, mode)
    generator = QuantumHyperNetwork(QUBITS, ansatz=circuit(), start="uniform", backend=backend)
    with backend.connected(folder, RUN, SCOPE, BUDGET, warn=lambda text: None):
        backend.begin("step 0")
        ParameterShift(SHOTS)(generator, cost, Expectation(), rng=Streams(generator.seeds)(0))
    return generator.theta.grad.numpy()[0].copy()


# -- processes -------------------------------------------------------------------------------------


def started(folder, mode, prepare=lambda: None, work=gradient):
    """Compute the gradient in a forked process; its number. It exits as the command line would."""
    if pid := os.fork():
        return pid
    code = 99
    try:
        os.environ["QISKIT_IN_PARALLEL"] = "TRUE"  # no threads of Rust in a forked process
        prepare()
        found = work(folder, mode)
        if found is not None:
            with (folder / GRADIENT).open("wb") as file:
                np.save(file, found)
        code = 0
    except QhyperError as error:
        (folder / TROUBLE).write_text(str(error))
        code = error.exit_code
    except BaseException:
        (folder / TROUBLE).write_text(traceback.format_exc())
    os._exit(code)


def ended(pid):
    """The exit code of a process; -9 if it was killed."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def settle(folder, mode):
    """As the user does with unknown jobs: adopt what the vendor shows, send the rest again."""
    backend = backend_of(folder, mode)
    listed = {tag: number for number, tag in backend.service.accepted()}
    with backend.connected(folder, RUN, SCOPE, BUDGET, warn=lambda text: None) as dispatcher:
        for record in dispatcher.ledger.jobs():
            if record.state != State.UNKNOWN:
                continue
            if record.tag in listed:
                assert dispatcher.questions.called(listed[record.tag]) in record.tags
                dispatcher.ledger.adopt(record.key, listed[record.tag])
            elif dispatcher.look_up(record).state == State.UNKNOWN:
                dispatcher.ledger.again(record.key)


def settled_by_the_user(folder, mode, kills):
    """Settle unknown jobs in a process that is killed after each of `kills` seconds; how often."""
    with Ledger(folder, RUN) as ledger:
        unknown = sum(record.state == State.UNKNOWN for record in ledger.jobs())
    killed = 0
    while True:
        pid = started(folder, mode, work=settle)
        if kills:
            time.sleep(kills.pop(0))
            os.kill(pid, signal.SIGKILL)
        code = ended(pid)
        if code == -signal.SIGKILL:
            killed += 1
        elif code:
            raise SystemExit(f"settling: exit code {code}: {(folder / TROUBLE).read_text()}")
        else:
            return Counter({"settled by the user": unknown, "kills while settling": killed})


def where(folder):
    """What a killed process left: in which call to the vendor it was."""
    if not exists(folder):
        return "before the ledger"
    listed = {tag for _, tag in service_of(folder).accepted()}
    with Ledger(folder, RUN) as ledger:
        states = {record.tag: record.state for record in ledger.jobs()}
    for tag, state in states.items():
        if state == State.SUBMITTING:
            return "acceptance to record" if tag in listed else "claim to acceptance"
    if not states:
        return "before the first job"
    if set(states.values()) == {State.DONE} and len(states) == JOBS:
        return "after the last job"
    return "between calls"


def until_done(folder, mode, kills, prepare=lambda: None, settling=()):
    """Go on until the gradient is there; the process is killed after each of `kills` seconds.

    The user who settles unknown jobs is killed after each of the seconds in `settling`.
    """
    settling = list(settling)
    seen = Counter()
    for _ in range(20):
        pid = started(folder, mode, prepare)
        if kills:
            time.sleep(kills.pop(0))
            os.kill(pid, signal.SIGKILL)  # until it is waited for, its number is its own
        code = ended(pid)
        prepare = lambda: None  # noqa: E731
        if code == -signal.SIGKILL:
            seen["kills"] += 1
            seen[where(folder)] += 1
        elif code == 4:
            seen.update(settled_by_the_user(folder, mode, settling))
        elif code:
            raise SystemExit(f"{mode}: exit code {code}: {(folder / TROUBLE).read_text()}")
        else:
            return seen
    raise SystemExit(f"{mode}: not done after 20 starts: {(folder / TROUBLE).read_text()}")


def verdict(folder, reference):
    """What the vendor charges for, and what is stored."""
    accepted = [tag.split("-")[1] for _, tag in service_of(folder).accepted()]
    with Ledger(folder, RUN) as ledger:
        jobs = ledger.jobs()
        stored = [r for r in jobs if r.state == State.DONE and ledger.load(r) is not None]
    assert {record.key for record in jobs} >= set(accepted), "a job that no ledger knows"
    return {
        "jobs": len(accepted),
        "paid twice": len(accepted) - len(set(accepted)),
        "lost": JOBS - len(stored),
        "same gradient": int(np.array_equal(np.load(folder / GRADIENT), reference)),
    }


# -- deterministic points --------------------------------------------------------------------------


def die(*_arguments, **_options):
    os.kill(os.getpid(), signal.SIGKILL)


def _wrap(owner, name, number, *, before=None, after=None):
    """Do something before or after the call with this number, from 1."""
    real, calls = getattr(owner, name), [0]

    def wrapped(*arguments, **options):
        calls[0] += 1
        if before and calls[0] == number:
            before(*arguments, **options)
        result = real(*arguments, **options)
        if after and calls[0] == number:
            after()
        return result

    setattr(owner, name, wrapped)


def _half_a_schema(schema=ledger_file._SCHEMA):
    yield from schema[:2]
    die()


def _half_a_file(path, data):
    path.with_name(f".{path.name}.part").write_bytes(data[: len(data) // 2])
    die()


def _at(*arguments, **options):
    return lambda: _wrap(*arguments, **options)


POINTS = {
    "while the ledger is made": lambda: setattr(ledger_file, "_SCHEMA", _half_a_schema()),
    "while the jobs are planned": _at(ledger_module, "rows_digest", 12, before=die),
    "before the claim": _at(Ledger, "claim", 8, before=die),
    "after the claim": _at(Ledger, "claim", 8, after=die),
    "after acceptance, before the reply": _at(stub.StubJob, "__init__", 8, before=die),
    "after the reply, before it is written": _at(Ledger, "submitted", 8, before=die),
    "after the reply is written": _at(Ledger, "submitted", 8, after=die),
    "before the shots are stored": _at(Ledger, "store", 8, before=die),
    "half of the file is written": _at(ledger_module, "write_whole", 8, before=_half_a_file),
    "before it is done": _at(ledger_module, "write_whole", 8, after=die),
    "after it is done": _at(Ledger, "store", 8, after=die),
    "after the last": _at(Ledger, "store", JOBS, after=die),
}
IN_BETWEEN = (
    "after the claim",
    "after acceptance, before the reply",
    "after the reply, before it is written",
)


# -- reports ---------------------------------------------------------------------------------------


def main(arguments):
    # a killed process loses nothing that it has written: a disk's own pace is another matter
    with tempfile.TemporaryDirectory(dir=MEMORY if Path(MEMORY).is_dir() else None) as scratch:
        folders = (Path(scratch, str(number)) for number in range(10**6))
        fresh = lambda: (folder := next(folders), folder.mkdir())[0]  # noqa: E731
        reference = gradient(fresh(), "tags")
        gradient(fresh(), "tags")  # the first one is slow; forked processes begin warm
        if arguments[0] == "at":
            found = {arguments[1]: _at_points(arguments[1], fresh, reference)}
        else:
            points, seed = int(arguments[1]), int(arguments[2])
            modes = arguments[3:] or MODES
            found = {mode: _at_random(mode, points, seed, fresh, reference) for mode in modes}
        print(json.dumps(found))


def _at_points(mode, fresh, reference):
    report = {}
    for point, prepare in POINTS.items():
        if mode != "tags" and point not in IN_BETWEEN:
            continue
        folder = fresh()
        seen = until_done(folder, mode, [], prepare)
        report[point] = {**seen, **verdict(folder, reference)}
    return report


def _at_random(mode, points, seed, fresh, reference):
    begun, rng, total = time.perf_counter(), random.Random(seed), Counter()
    spans = []
    for _ in range(3):
        folder, start = fresh(), time.perf_counter()
        until_done(folder, mode, [])
        spans.append(time.perf_counter() - start)
        assert verdict(folder, reference)["same gradient"]
    span = statistics.median(spans)
    while total["points"] < points:  # a run that was done before it could be killed is one besides
        kills = [rng.uniform(0, span)]
        while rng.random() < 0.25:
            kills.append(rng.uniform(0, span))
        folder = fresh()
        settling = [rng.uniform(0, span / 50)] * (rng.random() < 0.5)
        seen = until_done(folder, mode, kills, settling=settling)
        total.update(seen)
        total.update(verdict(folder, reference))
        total.update({"runs": 1, "points": int(seen["kills"] > 0)})
    return {"undisturbed": span, "seconds": time.perf_counter() - begun, **total}


if __name__ == "__main__":
    main(sys.argv[1:])
