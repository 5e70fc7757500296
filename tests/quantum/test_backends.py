"""Backends by name."""

import sys
from types import SimpleNamespace

import pytest

from qhyper.errors import ConfigurationError
from qhyper.quantum.backends import (
    build_backend,
    build_cloud_backend,
    forms,
    installed,
    is_cloud,
    kind_of,
)
from qhyper.quantum.cloud.backend import CloudBackend
from qhyper.quantum.generator import quantum
from qhyper.quantum.simulators import mps


def test_the_matrix_product_by_its_name():
    built = build_backend("mps")
    assert isinstance(built, mps.MatrixProductBackend)
    assert str(built) == "mps"
    assert isinstance(build_backend("mps", {"device": "cpu"}), mps.MatrixProductBackend)


def recorder(monkeypatch, module, name):
    """Puts a class that only keeps its arguments in place of a backend's."""

    def build(device=None, method=None, x=None):
        return SimpleNamespace(kept=(device, method, x), compile=None, capabilities=None)

    build.after_colon = {"PennyLaneBackend": "device", "AerBackend": "method"}[name]
    where = f"qhyper.quantum.simulators.{module}"
    monkeypatch.setitem(sys.modules, where, SimpleNamespace(**{name: build}))


def test_what_stands_after_the_colon_is_the_device_or_the_method(monkeypatch):
    recorder(monkeypatch, "pennylane_device", "PennyLaneBackend")
    recorder(monkeypatch, "qiskit_aer_simulator", "AerBackend")
    assert build_backend("pennylane:default.qubit").kept == ("default.qubit", None, None)
    assert build_backend("pennylane:a:b", {"x": 3}).kept == ("a:b", None, 3)
    assert build_backend("aer").kept == (None, None, None)
    assert build_backend("aer:density_matrix", {"x": 1}).kept == (None, "density_matrix", 1)


def test_options_are_left_as_they_are(monkeypatch):
    recorder(monkeypatch, "qiskit_aer_simulator", "AerBackend")
    options = {"x": 1}
    build_backend("aer:statevector", options)
    assert options == {"x": 1}


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("msp", "mps"),
        ("mps:x", "mps"),
        ("MPS", "mps"),
        ("", None),
        ("pennylane", "pennylane:default.qubit"),
        ("pennylane:", "pennylane:default.qubit"),
        ("lightning.qubit", "pennylane:lightning.qubit"),
    ],
)
def test_an_unknown_backend_is_refused_with_the_nearest_name(name, near):
    hint = f" Did you mean '{near}'?" if near else ""
    message = (
        f"Unknown backend '{name}'.{hint} Known: aer, aer:matrix_product_state, aer:statevector, "
        "azure:NAME, braket:NAME, ibm:NAME, ionq:NAME, mps, pennylane:default.qubit, "
        "pennylane:lightning.qubit, qiskit:module:object, statevector, trajectories."
    )
    for refused in (lambda: build_backend(name), lambda: quantum(3, backend=name)):
        with pytest.raises(ConfigurationError) as error:
            refused()
        assert str(error.value) == message


@pytest.mark.parametrize(
    ("name", "near"),
    [("aerr:statevector", "aer:statevector"), ("imb:torino", "ibm:torino"), ("none:x", None)],
)
def test_a_service_that_cannot_be_loaded_is_refused_with_the_nearest_name(name, near):
    with pytest.raises(ConfigurationError, match=f"Cannot load '{name}'") as error:
        build_backend(name)
    assert (f"Did you mean '{near}'?" in str(error.value)) == (near is not None)
    assert (
        "Or expected azure:NAME, braket:NAME, ibm:NAME, ionq:NAME, qiskit:module:object, "
        in str(error.value)
    )


def test_an_option_that_the_backend_does_not_take_is_refused():
    message = r"^Unknown option of the backend mps: 'shots'\. Known: device\.$"
    with pytest.raises(ConfigurationError, match=message):
        build_backend("mps", {"shots": 3})
    with pytest.raises(ConfigurationError, match=message):
        quantum(3, backend="mps", backend_options={"shots": 3})


@pytest.mark.parametrize(
    ("name", "option", "message"),
    [
        (
            "aer",
            "depolarizing",
            r"'depolarizing'\. Did you mean 'depolarising'\? Known: depol.* snap",
        ),
        ("aer", "methd", r"Did you mean 'method'\?"),
        ("aer:statevector", "method", r"'method'\. Known: depol"),
        ("statevector", "device", r"'device'\. Known: \(none\)\.$"),
        ("pennylane:default.qubit", "device", r"'device'\. Known: \(none\)\.$"),
        ("pennylane:lightning.qubit", "wires", r"'wires'\. Known: \(none\)\.$"),
    ],
)
def test_an_unknown_option_is_refused_with_the_nearest_one(name, option, message):
    with pytest.raises(
        ConfigurationError, match=f"Unknown option of the backend {name}.*{message}"
    ):
        build_backend(name, {option: 0.1})


@pytest.mark.parametrize("own", [None, mps.MatrixProductBackend()], ids=["none", "an object"])
def test_options_without_a_name_are_refused(own):
    with pytest.raises(ConfigurationError, match="backend_options need the name of a backend"):
        quantum(3, backend=own, backend_options={"shots": 3})


@pytest.mark.parametrize("device", ["lightning", "lightning.qbit", "lightningqubit"])
def test_an_unknown_pennylane_device_suggests_and_lists_what_works_here(device):
    with pytest.raises(ConfigurationError, match=r"Did you mean 'lightning\.qubit'") as error:
        build_backend(f"pennylane:{device}")
    known = str(error.value).split("Known: ")[1].rstrip(".").split(", ")
    assert {"default.qubit", "default.mixed", "lightning.qubit"} <= set(known)
    assert not [name for name in known if "qutrit" in name or "gaussian" in name]
    assert "null.qubit" not in known


def test_backends_that_are_installed_can_be_built():
    found = installed()
    assert {"mps", "statevector", "pennylane:lightning.qubit", "aer"} <= set(found)
    assert [str(build_backend(name)) for name in found] == found


def test_what_a_backend_is_by_its_name():
    for name in ("mps", "aer", "aer:statevector", "pennylane:default.qubit", "trajectories"):
        assert (kind_of(name), is_cloud(name)) == ("simulator", False)
    for name in ("ibm:torino", "qiskit:qiskit_aer:AerSimulator", "braket:local"):
        assert (kind_of(name), is_cloud(name)) == ("service", True)
    assert forms("service") == [
        "azure:NAME", "braket:NAME", "ibm:NAME", "ionq:NAME", "qiskit:module:object",
    ]  # fmt: skip


def test_a_simulator_is_no_quantum_computer():
    message = (
        r"Got the backend 'mps', a simulator; expected azure:NAME.*`qhyper train --backend mps`"
    )
    with pytest.raises(ConfigurationError, match=message):
        build_cloud_backend("mps")


def test_a_class_of_ones_own_is_what_it_can(own_backends):
    assert kind_of("own_backends:Simulator") == "simulator"
    assert str(build_backend("own_backends:Simulator", {"noise": 1})) == "own with noise 1"
    assert kind_of("own_backends:Service") == "service"
    assert isinstance(build_backend("own_backends:Service"), CloudBackend)
    message = (
        r"'own_backends:Neither' is the class Neither, which is no backend: expected a simulator, "
        r"with the method `compile` .* or a service, with `run` and `job`"
    )
    with pytest.raises(ConfigurationError, match=message):
        build_backend("own_backends:Neither")
    with pytest.raises(ConfigurationError, match="Got the backend 'own_backends:Simulator', a sim"):
        build_cloud_backend("own_backends:Simulator")
    message = (
        r"Got noise='much' \(str\) for the backend own_backends:Simulator; expected a number. Set "
        r"it as backend_options\.noise\."
    )
    with pytest.raises(ConfigurationError, match=message):
        build_backend("own_backends:Simulator", {"noise": "much"})


def test_what_a_simulator_lacks_is_said(own_backends):
    message = (
        "'own_backends:Incapable' made a Incapable, which is no simulator: it has no `capabilities`"
    )
    with pytest.raises(ConfigurationError, match=message):
        build_backend("own_backends:Incapable")


@pytest.fixture
def own_backends(monkeypatch):
    """A module with a simulator, a service, and what is neither."""

    class Simulator(mps.MatrixProductBackend):
        def __init__(self, noise: float = 0):
            self.noise = noise

        def __str__(self):
            return f"own with noise {self.noise}"

    class Service:
        device = limits = None

        def run(self, pubs, shots, *, tag): ...
        def job(self, job_id): ...

    class Incapable:
        def compile(self, circuit, *, rows=1): ...

    kinds = {"Simulator": Simulator, "Service": Service, "Incapable": Incapable}
    module = SimpleNamespace(**kinds, Neither=type("Neither", (), {}))
    monkeypatch.setitem(sys.modules, "own_backends", module)


@pytest.mark.parametrize("name", ["ibm_torino", "fake_torino"])
def test_a_device_of_ibm_without_its_vendor(name):
    message = (
        rf"Unknown backend '{name}'\. Did you mean 'ibm:{name}'\? Devices are named with their"
    )
    with pytest.raises(ConfigurationError, match=message):
        build_backend(name)


@pytest.mark.parametrize(
    ("given", "read"), [("4, 2,3", (4, 2, 3)), ("5", (5,)), (5, (5,)), ([1, 2], (1, 2))]
)
def test_qubits_as_a_command_line_has_them(given, read):
    target = "qiskit.providers.basic_provider:BasicSimulator"
    for option in ("layout", "avoid"):
        backend = build_backend(f"qiskit:{target}", {option: given})
        assert getattr(backend, option) == read


@pytest.mark.parametrize("given", ["1;2", "1,x", "", "1,,2", "-1", "1.5"])
def test_qubits_in_another_spelling_are_refused(given):
    target = "qiskit.providers.basic_provider:BasicSimulator"
    message = rf"Got layout='{given}'; expected qubits of the device, such as layout=\[1,2,3\] or"
    with pytest.raises(ConfigurationError, match=message):
        build_backend(f"qiskit:{target}", {"layout": given})
