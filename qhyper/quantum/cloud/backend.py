"""CloudBackend: a quantum computer as a backend of circuits, by way of the ledger."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qhyper.bits import Bits
from qhyper.errors import ConfigurationError, StorageError
from qhyper.quantum.backend import BackendCapabilities, Named, checked_angles
from qhyper.quantum.circuit import Circuit
from qhyper.quantum.cloud.caps import NO_CAPS, Caps
from qhyper.quantum.cloud.chunks import alike, cut, n_chunks
from qhyper.quantum.cloud.dispatch import Dispatcher
from qhyper.quantum.cloud.door import Denied, NotFound, PlannedJobs, Price, Service, Unreachable
from qhyper.quantum.cloud.ledger import Ledger
from qhyper.quantum.cloud.mthree_mitigation import (
    calibration_bits,
    check_installed,
    check_matrices,
    check_strings,
    mitigated_losses,
)
from qhyper.quantum.cloud.options import check_flag
from qhyper.quantum.cloud.preflight import calibration, calibration_shots, preflight
from qhyper.quantum.cloud.qiskit_isa import Isa, fingerprint, load, save, transpiled
from qhyper.quantum.cloud.questions import Patience
from qhyper.quantum.cloud.readout import PREFLIGHT_SHOTS, preflight_bits
from qhyper.quantum.cloud.record import CALIBRATION, KNOWN, PREFLIGHT, Request
from qhyper.quantum.cloud.scope import Scope
from qhyper.streams import Rngs

Float = npt.NDArray[np.float64]

Batches = Mapping[str, tuple[int, int, int]]
"""What is sampled: (times, circuits, shots of each) by what it is for."""
PREVIEWED_ROWS = 128
"""Of a job that is shown before it is sent."""
_LITTLE = 0.05
"""Share of the misreadings that are corrected below which a user is told."""


class _Previewed(Exception):  # noqa: N818 (an end, not a fault)
    """What would be sent is known."""


class CloudBackend(Named):
    """Circuits on a quantum computer, or on whatever speaks a service's interface.

    - service: where jobs are sent
    - level: Qiskit's optimisation level of transpilation, 0 to 3
    - layout: the device's qubit for each of ours; by the device's errors unless told
    - avoid: qubits of the device that are not to be used; those that read out worst are left out by
      themselves
    - deadline: seconds that a training, or whatever has to wait in this process, waits for a job
      before it ends with PendingError
    - grace: seconds for which a job is looked for whose reply was lost
    - mitigate: whether readout errors are measured once a day, and undone by mthree in the means of
      losses from which gradients are made; draws are never changed
    - identity: what tells jobs from those that measure something else: the device, and the options
      that matter to it; formerly: what earlier versions said instead

    It samples within `connected` alone, and after `begin` has said what for. Raises
    ConfigurationError for an option that cannot be, and for a service that debiases together with
    `mitigate`.
    """

    def __init__(
        self,
        service: Service,
        *,
        level: int = 3,
        layout: Sequence[int] | None = None,
        avoid: Sequence[int] = (),
        deadline: float = 86_400.0,
        grace: float = Patience.grace,
        mitigate: bool = False,
        patience: Patience | None = None,
        name: str | None = None,
        identity: str | None = None,
        formerly: str | None = None,
    ) -> None:
        for option, seconds in (("deadline", deadline), ("grace", grace)):
            number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
            if not number or not 0 <= seconds < np.inf:
                raise ConfigurationError(
                    f"{option} must be a number of seconds from 0; got {seconds!r}."
                )
        for option, qubits in (
            ("layout", () if layout is None else layout),
            ("avoid", avoid),
        ):
            if isinstance(qubits, str) or not isinstance(qubits, Sequence):
                raise ConfigurationError(
                    f"{option} must be a list of qubits of the device; got {qubits!r}."
                )
        check_flag("mitigate", mitigate)
        if mitigate and getattr(service, "debias", False):
            raise ConfigurationError(
                f"Got debias and mitigate for {name or service}: what is debiased has other "
                "readout errors than known bitstrings, which are not. Choose one of them."
            )
        if mitigate:
            check_installed()
        self.service, self.level, self.deadline = service, level, deadline
        self.mitigate = bool(mitigate)
        self.capabilities = BackendCapabilities(paid=True, mitigates=self.mitigate)
        self.layout = None if layout is None else tuple(layout)
        self.avoid = tuple(avoid)
        self.patience = patience or Patience(grace=grace)
        self.name = name or str(service)
        self.identity = identity or self.name
        self._formerly = formerly or self.identity
        self.dispatcher: Dispatcher | None = None
        self.scope: Scope | None = None
        self.purpose = ""
        self._calls = 0
        self._previews: list[str] | None = None

    def __str__(self) -> str:
        return self.name

    @property
    def service_name(self) -> str:
        """What the ledger calls it: its name, its service's options, and the level."""
        return f"{self.identity} level={self.level}"

    @property
    def former_names(self) -> tuple[str, ...]:
        """What the ledger may call it, of jobs of any version."""
        names = (self.identity, self._formerly)
        return tuple(dict.fromkeys((*names, *(f"{name} level={self.level}" for name in names))))

    def compile(self, circuit: Circuit, *, rows: int = 1) -> "CloudExecutable":
        """The circuit, transpiled once for the device.

        Raises ConfigurationError if the device has too few qubits, or for a level, layout or
        qubits to avoid that cannot be.
        """
        most = self.service.limits.qubits
        if most is not None and circuit.n_qubits > most:
            raise ConfigurationError(
                f"The circuit has {circuit.n_qubits} qubits; {self} has {most}. Use a larger "
                "backend or a smaller target network."
            )
        isa = transpiled(
            circuit, self.service.device, level=self.level, layout=self.layout, avoid=self.avoid
        )
        return CloudExecutable(self, isa, circuit.n_angles)

    def fingerprint(self, circuit: Circuit) -> str:
        """The fingerprint that the compiled circuit has: see `Isa`."""
        return fingerprint(circuit, self.level, self.layout, self.avoid)

    @contextmanager
    def connected(
        self,
        folder: Path,
        run: str,
        scope: Scope | str,
        paid_shots: int,
        *,
        caps: Caps = NO_CAPS,
        stop: Callable[[], bool] = lambda: False,
        warn: Callable[[str], None] = print,
    ) -> Iterator[Dispatcher]:
        """Within, jobs are sent, counted with `scope`, by the ledger of the run in `folder`.

        `run` identifies the run. The scope is sent at the most `paid_shots` shots, and the run no
        more than the `caps` allow. A scope of one's own is any text. Raises ConfigurationError for
        a text that is no scope, StorageError if another process is at work on the ledger, or if it
        is another run's.
        """
        if isinstance(scope, str):
            scope = Scope.read(scope)
        try:
            with Ledger(folder, run) as ledger, ledger.working():
                ledger.allow(scope, paid_shots)
                self.dispatcher = Dispatcher(
                    self.service, ledger, patience=self.patience, name=self.name, caps=caps,
                    stop=stop, warn=warn,
                )  # fmt: skip
                self.scope, self.purpose = scope, ""
                yield self.dispatcher
        finally:
            self.dispatcher = None
            self.service.close()

    def begin(self, purpose: str) -> None:
        """Say what the next calls of `sample` are for, such as a training step."""
        self.purpose, self._calls = purpose, 0

    def next_purpose(self) -> str:
        """What the next call of `sample` is for: the purpose, with a number from the second on."""
        self._calls += 1
        return self.purpose if self._calls == 1 else f"{self.purpose}, call {self._calls}"

    def request(self, scope: Scope, purpose: str, isa: Isa, angles: Float, shots: int) -> Request:
        """The request for `shots` shots at each of the angles [row, angle] in radians."""
        return Request(
            scope, purpose, self.service_name, isa.fingerprint,
            isa.rows(angles), shots, len(isa.qubits), f"{self._formerly} level={self.level}",
        )  # fmt: skip

    def shots(self, n_bits: int, batches: Batches) -> int:
        """Shots of all batches of circuits of so many bits, and of known bitstrings."""
        every = self._with_known(n_bits, batches).values()
        return sum(times * circuits * shots for times, circuits, shots in every)

    def plan(self, isa: Isa, batches: Batches) -> dict[str, Any]:
        """What batches of a circuit would take, in words; known bitstrings are counted."""
        every, limits = self._with_known(len(isa.qubits), batches), self.service.limits
        jobs, price = self.jobs(isa, batches), self.price(isa, batches)
        shots = self.shots(len(isa.qubits), batches)
        circuits = sum(times * n for times, n, _ in every.values())
        parts = [f"{times * n * each:,} {name}" for name, (times, n, each) in every.items()]
        planned = {
            "backend": str(self),
            "about": self.service.about(len(isa.qubits)),
            "circuits": circuits,
            "shots": shots,
            "of these": ", ".join(parts),
            "jobs": jobs,
            "two-qubit gates": isa.two_qubit_gates,
            "two-qubit depth": isa.two_qubit_depth,
            "depth": isa.depth,
            "qubits of the device": list(isa.qubits),
            "limits": str(limits),
            "price": price.words if price else "the vendor's price model is not known here",
        }
        return {key: value for key, value in planned.items() if value != ""}

    def jobs(self, isa: Isa, batches: Batches) -> int:
        """How many jobs batches of a circuit are, those of known bitstrings among them."""
        return sum(each.jobs for each in self._planned(isa, batches))

    def price(self, isa: Isa, batches: Batches) -> Price | None:
        """What batches of a circuit would cost; None where it is not known, or not told now."""
        try:
            return self.service.price(self._planned(isa, batches))
        except (Unreachable, NotFound, Denied):
            return None

    def _planned(self, isa: Isa, batches: Batches) -> list[PlannedJobs]:
        limits, n_bits = self.service.limits, len(isa.qubits)
        planned = []
        for name, (times, rows, shots) in self._with_known(n_bits, batches).items():
            # a bitstring is prepared by one rotation a qubit, which whoever prices gates has
            gates = (n_bits, 0) if name in KNOWN else isa.gates
            planned += [
                PlannedJobs(times * jobs, times * jobs * some, each, gates)
                for jobs, some, each in alike(limits, rows, shots, gates[1])
            ]
        return planned

    def _with_known(self, n_bits: int, batches: Batches) -> Batches:
        """The batches, and the known bitstrings that are sent with them."""
        known = {PREFLIGHT: (1, len(preflight_bits(n_bits)), PREFLIGHT_SHOTS)}
        if self.mitigate:
            known[CALIBRATION] = (1, len(calibration_bits(n_bits)), calibration_shots(n_bits))
        return {**batches, **known}

    def check_caps(self, caps: Caps, folder: Path, isa: Isa, batches: Batches) -> None:
        """Raise ConfigurationError unless batches of a circuit fit the caps of the run there."""
        price = self.price(isa, batches)
        caps.check(folder, None if price is None else price.amount, self.jobs(isa, batches))

    def preview(self, isa: Isa, angles: Float, shots: int) -> str:
        """What the service would be sent for shots at angles [row, angle] in radians.

        The first job of several, and the first PREVIEWED_ROWS of its rows, in the service's words,
        after how many there are.
        """
        asked = (self.service.limits, len(angles), shots, isa.two_qubit_gates)
        jobs, (_, rows, _, each) = n_chunks(*asked), next(cut(*asked))
        shown = min(rows, PREVIEWED_ROWS)
        pub = (isa.circuit, isa.rows(angles[:shown]))
        text = self.service.preview([pub], each, tag="qhyper-KEY")
        parts = [f"job 1 of {jobs:,}"] if jobs > 1 else []
        parts += [f"the first {shown:,} of {rows:,} rows"] if shown < rows else []
        return f"{', '.join(parts)}:\n{text}" if text and parts else text

    def first_of(self, work: Callable[[], object]) -> str:
        """What the service would be sent for what `work` measures first; it ends there.

        Nothing is sent. Empty where nothing is measured, or the service does not say.
        """
        self._previews = []
        try:
            work()
        except _Previewed:
            return self._previews[0]
        finally:
            self._previews = None
        return ""

    def previewed(self, isa: Isa, angles: Float, shots: int) -> None:
        """Within `first_of`, note what would be sent for shots, and end.

        At angles [row, angle] in radians.
        """
        if self._previews is not None:
            self._previews.append(self.preview(isa, angles, shots))
            raise _Previewed

    def preflight(self, isa: Isa, wait: float) -> None:
        """Check, once for each set of qubits, that known bitstrings come back as prepared."""
        assert self.dispatcher is not None
        assert self.scope is not None
        preflight(self.dispatcher, self.scope, self.identity, isa, wait)

    def calibration(self, isa: Isa, wait: float, sent: float) -> Float:
        """Each qubit's assignment matrix [qubit, measured, prepared], measured once a day.

        For what was sent at `sent`, in seconds since 1970, or is sent now if that is 0. Raises
        ConfigurationError for a qubit that reads as noise.
        """
        assert self.dispatcher is not None
        assert self.scope is not None
        matrices = calibration(self.dispatcher, self.scope, self.identity, isa, wait, sent)
        check_matrices(matrices, len(isa.qubits))
        return matrices


class CloudExecutable:
    """A circuit on a quantum computer: an `Executable`. Nothing is sent before it is sampled."""

    def __init__(self, backend: CloudBackend, isa: Isa, n_angles: int) -> None:
        self.backend, self.isa, self.n_angles = backend, isa, n_angles
        self._kept: Path | None = None
        self._matrices: Float | None = None
        self._told = False

    def at(self, angles: Float) -> "CloudAt":
        """The circuit at angles [replica, row, angle] in radians; see `Executable`.

        Raises ConfigurationError if they do not fit.
        """
        return CloudAt(self, angles)

    def measure(self, angles: Float, shots: int) -> Bits:
        """Draws uint8 [replica, row, shot, qubit], all of them in as few jobs as the limits allow.

        At angles [replica, row, angle] in radians. Raises ConfigurationError outside of
        `connected`, JobError if a job fails or is lost, PendingError if one is not done by the
        deadline, StorageError if the file of the circuit that this run keeps is that of another.
        """
        backend = self.backend
        flat = np.ascontiguousarray(angles.reshape(-1, angles.shape[-1]))
        backend.previewed(self.isa, flat, shots)
        if backend.dispatcher is None or backend.scope is None or not backend.purpose:
            raise ConfigurationError(
                f"{backend} costs money, and there is no ledger open for what was to be measured. "
                "Use it in a run directory (`qhyper train`, `qhyper submit`), or within "
                "`backend.connected(folder, run, scope, paid_shots)` after "
                "`backend.begin(purpose)`."
            )
        self._keep()
        backend.preflight(self.isa, backend.deadline)
        purpose = backend.next_purpose()
        if backend.mitigate:
            check_strings(shots, len(self.isa.qubits))
            sent = [r.sent or 0.0 for r in backend.dispatcher.ledger.jobs(backend.scope, purpose)]
            self._matrices = backend.calibration(self.isa, backend.deadline, min(sent, default=0))
        request = backend.request(backend.scope, purpose, self.isa, flat, shots)
        bits = backend.dispatcher.measure(request, self.isa, backend.deadline)
        return bits.reshape(*angles.shape[:2], shots, -1)

    def mitigated(self, bits: Bits, losses: Float) -> Float:
        """Losses [..., shot] whose mean has no readout errors; see `Executable`.

        Of bits [..., shot, qubit] that it measured last, with their losses [..., shot], by that
        day's calibration. Raises ConfigurationError if it has not measured. Warns, once, where
        nearly all misreadings lead to strings that were not measured.
        """
        if self._matrices is None:
            raise ConfigurationError(
                f"{self.backend} has no calibration: measure before losses are mitigated, on a "
                "backend with the option mitigate=true."
            )
        found, covered = mitigated_losses(bits, losses, self._matrices)
        if covered is not None and covered < _LITTLE and not self._told:
            self._told = True
            dispatcher = self.backend.dispatcher
            (print if dispatcher is None else dispatcher.warn)(
                f"Readout mitigation corrects {covered:.2%} of the misreadings of {self.backend}: "
                "nearly every shot is a string of its own. Use it with fewer bits or more shots, "
                "or leave the option mitigate out."
            )
        return found

    def _keep(self) -> None:
        """Use the circuit that this run has sent before: a device's errors change by the day."""
        assert self.backend.dispatcher is not None
        folder = self.backend.dispatcher.ledger.folder
        if self._kept == folder:
            return
        names = [
            hashlib.sha256(f"{name} {self.isa.fingerprint}".encode()).hexdigest()[:16]
            for name in self.backend.former_names
        ]
        paths = [folder / "circuits" / f"{name}.qpy" for name in names]
        path = next((path for path in paths if path.is_file()), paths[0])
        if not path.is_file():
            save(self.isa, path)
        elif (kept := load(path)).fingerprint == self.isa.fingerprint:
            self.isa = kept
        else:
            raise StorageError(
                f"{path} is not the circuit that was asked for. Put the run's own file back."
            )
        self._kept = folder


class CloudAt:
    """A circuit on a quantum computer at angles: `Prepared`."""

    def __init__(self, circuit: CloudExecutable, angles: Float) -> None:
        self._circuit, self.angles = circuit, checked_angles(angles, circuit.n_angles)

    def sample(self, shots: int, rng: Rngs) -> Bits:
        """As in `Prepared`, by `CloudExecutable.measure`, whose errors it raises.

        `rng` is not used: a quantum computer has its own randomness.
        """
        return self._circuit.measure(self.angles, shots)
