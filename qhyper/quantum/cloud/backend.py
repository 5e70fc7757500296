"""CloudBackend: a quantum computer as a backend of circuits, by way of the ledger."""

import hashlib
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qhyper.bits import Bits
from qhyper.errors import ConfigurationError, unknown
from qhyper.names import load_object
from qhyper.quantum.backend import BackendCapabilities
from qhyper.quantum.circuit import Circuit
from qhyper.quantum.cloud.dispatch import Dispatcher, Patience, chunks
from qhyper.quantum.cloud.door import Service
from qhyper.quantum.cloud.ledger import Ledger, Request
from qhyper.quantum.cloud.qiskit_isa import Isa, load, save, transpiled
from qhyper.quantum.cloud.readout import PREFLIGHT_CIRCUITS, PREFLIGHT_SHOTS
from qhyper.streams import Rngs

Float = npt.NDArray[np.float64]

VENDORS = {
    "ibm": "qhyper.quantum.cloud.ibm:IBMService",
    "braket": "qhyper.quantum.cloud.amazon_braket:BraketService",
    "ionq": "qhyper.quantum.cloud.ionq:IonQService",
    "azure": "qhyper.quantum.cloud.azure_quantum:AzureService",
    "qiskit": "qhyper.quantum.cloud.qiskit_backend:QiskitService",
}
"""The services by the part of a name before its colon."""


class CloudBackend:
    """Circuits on a quantum computer, or on whatever speaks a service's interface.

    - service: where jobs are sent
    - level, layout: how circuits are transpiled; see `transpiled`
    - deadline: seconds that a training waits for a job before it ends with PendingError
    - grace: seconds for which a job is looked for whose reply was lost

    It samples within `connected` alone, and after `begin` has said what for.
    """

    capabilities = BackendCapabilities(paid=True)

    def __init__(
        self,
        service: Service,
        *,
        level: int = 2,
        layout: Sequence[int] | None = None,
        deadline: float = 86_400.0,
        grace: float = Patience.grace,
        patience: Patience | None = None,
        identity: str | None = None,
    ) -> None:
        for name, seconds in (("deadline", deadline), ("grace", grace)):
            if isinstance(seconds, bool) or not 0 <= seconds < np.inf:
                raise ConfigurationError(
                    f"{name} must be a number of seconds from 0; got {seconds!r}."
                )
        self.service, self.level, self.deadline = service, level, deadline
        self.layout = None if layout is None else tuple(layout)
        self.patience = patience or Patience(grace=grace)
        self.identity = identity or str(service)
        self.dispatcher: Dispatcher | None = None
        self.scope = self.purpose = ""
        self._calls = 0

    def __str__(self) -> str:
        return str(self.service)

    def compile(self, circuit: Circuit, *, rows: int = 1) -> "CloudExecutable":
        """The circuit, transpiled once for the device.

        Raises ConfigurationError if the device has too few qubits, or for a level or layout that
        cannot be.
        """
        isa = transpiled(circuit, self.service.device, level=self.level, layout=self.layout)
        return CloudExecutable(self, isa)

    @contextmanager
    def connected(
        self,
        folder: Path,
        run: str,
        scope: str,
        paid_shots: int,
        *,
        stop: Callable[[], bool] = lambda: False,
        warn: Callable[[str], None] = print,
    ) -> Iterator[Dispatcher]:
        """Within, jobs are sent, counted with `scope`, by the ledger of the run in `folder`.

        `run` identifies the run. The scope is sent at the most `paid_shots` shots. Raises
        StorageError if another process is at work on the ledger, or if it is another run's.
        """
        try:
            with Ledger(folder, run) as ledger, ledger.working():
                ledger.allow(scope, paid_shots)
                self.dispatcher = Dispatcher(
                    self.service, ledger, patience=self.patience, stop=stop, warn=warn
                )
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

    def request(self, isa: Isa, purpose: str, angles: Float, shots: int) -> Request:
        """The request for `shots` shots at each of the angles [row, angle]."""
        return Request(
            self.scope, purpose, f"{self.identity} level={self.level}", isa.fingerprint,
            isa.rows(angles), shots, len(isa.qubits),
        )  # fmt: skip

    def shots(self, batches: Sequence[tuple[int, int, int]]) -> int:
        """Shots of all batches (times, circuits, shots of each), and of the preflight."""
        return sum(times * circuits * shots for times, circuits, shots in batches) + (
            PREFLIGHT_CIRCUITS * PREFLIGHT_SHOTS
        )

    def plan(self, isa: Isa, batches: Sequence[tuple[int, int, int]]) -> dict[str, Any]:
        """What batches (times, circuits, shots of each) of a circuit would take, in words.

        The preflight is counted.
        """
        batches = [*batches, (1, PREFLIGHT_CIRCUITS, PREFLIGHT_SHOTS)]
        limits, gates = self.service.limits, isa.two_qubit_gates
        jobs = sum(
            times * len(chunks(limits, circuits, shots, gates))
            for times, circuits, shots in batches
        )
        circuits = sum(times * circuits for times, circuits, _ in batches)
        shots = sum(times * circuits * shots for times, circuits, shots in batches)
        price = self.service.price(jobs, circuits, shots)
        return {
            "backend": str(self),
            "circuits": circuits,
            "shots": shots,
            "jobs": jobs,
            "two-qubit gates": isa.two_qubit_gates,
            "two-qubit depth": isa.two_qubit_depth,
            "depth": isa.depth,
            "qubits of the device": list(isa.qubits),
            "limits": str(limits),
            "price": price or "the vendor's price model is not known here",
        }

    def preflight(self, isa: Isa, wait: float) -> None:
        """Check, once for each set of qubits, that known bitstrings come back as prepared."""
        assert self.dispatcher is not None
        self.dispatcher.preflight(self.scope, self.identity, isa, wait)


class CloudExecutable:
    """A circuit on a quantum computer: an `Executable`."""

    def __init__(self, backend: CloudBackend, isa: Isa) -> None:
        self.backend, self.isa = backend, isa
        self._kept = False

    def sample(self, angles: Float, shots: int, rng: Rngs) -> Bits:
        """Draws uint8 [replica, row, shot, qubit], all of them in as few jobs as the limits allow.

        `rng` is not used: a quantum computer has its own randomness. Raises ConfigurationError
        outside of `connected`, JobError if a job fails or is lost, PendingError if one is not done
        by the deadline.
        """
        backend = self.backend
        if backend.dispatcher is None or not backend.purpose:
            raise ConfigurationError(
                f"{backend} costs money, and there is no ledger open for what was to be measured. "
                "Use it in a run directory (`qhyper train`, `qhyper submit`), or within "
                "`backend.connected(folder, run, scope, paid_shots)` after "
                "`backend.begin(purpose)`."
            )
        self._keep()
        flat = np.ascontiguousarray(angles.reshape(-1, angles.shape[-1]))
        backend.preflight(self.isa, backend.deadline)
        request = backend.request(self.isa, backend.next_purpose(), flat, shots)
        bits = backend.dispatcher.measure(request, self.isa, backend.deadline)
        return bits.reshape(*angles.shape[:2], shots, -1)

    def _keep(self) -> None:
        """Use the circuit that this run has sent before: a device's errors change by the day."""
        if self._kept:
            return
        assert self.backend.dispatcher is not None
        name = hashlib.sha256(f"{self.backend.identity} {self.isa.fingerprint}".encode())
        path = self.backend.dispatcher.ledger.folder / "circuits" / f"{name.hexdigest()[:16]}.qpy"
        if path.is_file():
            self.isa = load(path)
        else:
            save(self.isa, path)
        self._kept = True


def build_cloud_backend(name: str, options: Mapping[str, Any] | None = None) -> CloudBackend:
    """The backend `VENDOR:NAME`, or `module:Class` of a service of one's own, with its options.

    Options are those of CloudBackend and of the service. Raises ConfigurationError for an unknown
    name or option, and MissingError where an extra, an account or the network is missing.
    """
    kind, _, rest = name.partition(":")
    given = dict(options or {})
    if kind in VENDORS:
        factory, arguments = load_object(VENDORS[kind]), (rest,)
    else:
        try:
            factory, arguments = load_object(name), ()
        except ConfigurationError as error:
            vendors = ", ".join(f"{vendor}:NAME" for vendor in VENDORS)
            raise ConfigurationError(f"{error} Vendors are {vendors}.") from error
    taken = list(inspect.signature(factory).parameters)[len(arguments) :]
    own = ("level", "layout", "deadline", "grace")
    for option in given:
        if option not in (*taken, *own):
            raise unknown(f"option of the backend {name}:", option, (*taken, *own))
    for_service = {key: value for key, value in given.items() if key in taken}
    for_backend = {key: value for key, value in given.items() if key not in taken}
    try:
        service = factory(*arguments, **for_service)
    except TypeError as error:
        raise ConfigurationError(
            f"The backend {name} could not be built with {for_service}: {error}."
        ) from error
    listed = "".join(f" {key}={value!r}" for key, value in sorted(for_service.items()))
    return CloudBackend(service, **for_backend, identity=f"{name}{listed}")
