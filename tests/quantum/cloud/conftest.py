"""Shared by the tests of cloud services: a stub service, and a connection to it."""

import importlib.util
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from qhyper.quantum.circuit import Circuit, Gate
from qhyper.quantum.cloud.backend import CloudBackend
from qhyper.quantum.cloud.caps import NO_CAPS
from qhyper.quantum.cloud.questions import Patience

HASTE = Patience(grace=0.3, first_poll=0.01, last_poll=0.02, attempts=4)


def module_at(path):
    """The module in a file beside this one."""
    name = f"qhyper_tests_{Path(path).stem}"
    spec = importlib.util.spec_from_file_location(name, Path(__file__).parent / path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def stub():
    """The module of the stub service."""
    return module_at("stub.py")


@pytest.fixture
def stub_service(stub, tmp_path):
    """Build a stub service; every one of a test has the same vendor behind it."""
    return lambda **options: stub.StubService(tmp_path / "vendor", **{"qubits": 3, **options})


class Bench:
    """A run of a small circuit on stub services, session after session."""

    def __init__(self, folder, stub_service):
        self.folder, self.stub_service, self.heard = folder, stub_service, []
        folder.mkdir()
        gates = [Gate("ry", (q,), q) for q in range(3)] + [Gate("cz", (0, 1)), Gate("cz", (1, 2))]
        self.circuit = Circuit(3, tuple(gates))
        self.angles = np.linspace(0.1, 3.0, 18).reshape(6, 3)

    @contextmanager
    def session(
        self, *, budget=10**6, patience=HASTE, run="a run", scope="training", caps=NO_CAPS,
        **options,
    ):  # fmt: skip
        """(dispatcher, request, isa) of 6 rows of 8 shots; 3 jobs of 2 rows, unless told."""
        service = self.stub_service(**{"rows": 2, **options})
        backend = CloudBackend(service, patience=patience, deadline=10.0)
        isa = backend.compile(self.circuit).isa
        with backend.connected(
            self.folder, run, scope, budget, caps=caps, warn=self.heard.append
        ) as dispatcher:
            yield dispatcher, backend.request(backend.scope, "step 0", isa, self.angles, 8), isa

    def measure(self, wait=5.0, **options):
        """The shots [row, shot, bit] of the request, in a session of its own."""
        with self.session(**options) as (dispatcher, request, isa):
            return dispatcher.measure(request, isa, wait)

    def jobs(self, **options):
        """What the ledger says."""
        with self.session(**options) as (dispatcher, _, _):
            return dispatcher.ledger.jobs()

    def states(self):
        return [str(record.state) for record in self.jobs()]

    def accepted(self):
        """The tags of what the vendor has accepted."""
        return [tag for _, tag in self.stub_service().accepted()]

    def bytes(self):
        """All that is in the run directory."""
        return b"".join(path.read_bytes() for path in self.folder.rglob("*") if path.is_file())


@pytest.fixture
def bench(tmp_path, stub_service):
    return Bench(tmp_path / "run", stub_service)


@pytest.fixture(scope="session")
def ibm_server(tmp_path_factory):
    """The server of `ibm_cloud`."""
    folder = tmp_path_factory.mktemp("ibm")
    server = module_at(Path("servers") / "ibm_server.py").Server(folder)
    yield server
    server.stop()


@pytest.fixture
def ibm_cloud(ibm_server, tmp_path, monkeypatch):
    """IBM behind a TLS server on this machine, which IBM's own client finds, and trusts."""
    import urllib3

    for name in ("INSTANCE", "CHANNEL"):
        monkeypatch.delenv(f"QISKIT_IBM_{name}", raising=False)
    for name, value in (ibm_server.variables() | {"HOME": str(tmp_path)}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(urllib3.util.Retry, "sleep", lambda *_: None)
    vendor = ibm_server.begin()
    yield vendor
    assert not vendor.troubles, vendor.troubles[0]
