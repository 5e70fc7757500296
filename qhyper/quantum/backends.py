"""Backends by name: simulators of ours and of others, and quantum computers."""

import inspect
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, get_args

from qhyper.errors import ConfigurationError, nearest, unknown
from qhyper.quantum.backend import Backend
from qhyper.registry import build, find, is_registered, load_object, names, options_of

if TYPE_CHECKING:
    from qhyper.quantum.cloud.backend import CloudBackend

Kind = Literal["simulator", "service"]
KINDS: tuple[Kind, ...] = get_args(Kind)
_OF_IBM = ("ibm_", "fake_")
"""How the names of IBM's devices begin, and of their snapshots."""


def build_backend(name: str, options: Mapping[str, Any] | None = None) -> Backend:
    """The backend called `name`, with its options: a simulator, or a quantum computer.

    `mps`: exact matrix product. `statevector`: exact state vector. `pennylane:DEVICE`: a
    PennyLane device, such as lightning.qubit. `aer`, `aer:METHOD`: Qiskit Aer (statevector,
    matrix_product_state, density_matrix). `trajectories`: depolarising noise on our own simulators,
    with exact derivatives of ⟨C⟩. `ibm:NAME`, `braket:NAME`, `ionq:NAME`, `azure:NAME`,
    `qiskit:module:object`: quantum computers (`build_cloud_backend`). Others are registered under
    `qhyper.simulators` and `qhyper.services`, or are `module:Class`: of a simulator if it has
    `compile`, of a service if it has `run` and `job`. Options are the arguments of the class.
    Raises ConfigurationError for an unknown name or option.
    """
    if kind_of(name) == "simulator":
        return build("simulator", name, options=options)
    return build_cloud_backend(name, options)


def build_cloud_backend(name: str, options: Mapping[str, Any] | None = None) -> "CloudBackend":
    """The backend `VENDOR:NAME`, or `module:Class` of a service of one's own, with its options.

    Options are those of CloudBackend and of the service; qubits of `layout` and `avoid` may be text
    with commas. What a service of one's own returns is checked (`checked_service`). Raises
    ConfigurationError for an unknown name or option, and for one that holds a secret;
    MissingError where an extra, an account or the network is missing.
    """
    check_cloud(name)
    from qhyper.quantum.cloud.backend import CloudBackend
    from qhyper.quantum.cloud.checked_service import checked
    from qhyper.quantum.cloud.redaction import check_no_secrets

    given = dict(options or {})
    taken = options_of("service", name, find("service", name))
    own = ("level", "layout", "avoid", "deadline", "grace", "mitigate")
    for option in given:
        if option not in (*taken, *own):
            raise unknown(f"option of the backend {name}:", option, (*taken, *own))
    check_no_secrets(name, given)
    given |= {key: _qubits(key, given[key]) for key in ("layout", "avoid") if key in given}
    for_service = {key: value for key, value in given.items() if key in taken}
    for_backend = {key: value for key, value in given.items() if key not in taken}
    service = checked(build("service", name, options=for_service))
    told = getattr(service, "measures", None)
    measures = for_service if told is None else told
    matters = {
        key: value
        for key, value in _chosen(find("service", name), for_service).items()
        if key in measures
    }
    return CloudBackend(
        service, **for_backend, name=name,
        identity=(getattr(service, "place", "") or name) + _listed(matters),
        formerly=name + _listed(for_service),
    )  # fmt: skip


def _qubits(option: str, value: Any) -> Any:
    """Numbers of qubits, as a command line may have them: `1,2,3`, or `5`."""
    if isinstance(value, int) and not isinstance(value, bool):
        return [value]
    if not isinstance(value, str):
        return value
    if not re.fullmatch(r"\s*\d+\s*(,\s*\d+\s*)*", value):
        raise ConfigurationError(
            f"Got {option}={value!r}; expected qubits of the device, such as {option}=[1,2,3] or "
            f"{option}=1,2,3."
        )
    return [int(number) for number in value.split(",")]


def _chosen(factory: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that say something else than the class would say without them."""
    parameters = inspect.signature(factory).parameters
    default = {name: found.default for name, found in parameters.items()}
    off = (None, False)
    return {
        name: value
        for name, value in options.items()
        if value != default.get(name) and not (value in off and default.get(name) in off)
    }


def _listed(options: Mapping[str, Any]) -> str:
    return "".join(f" {key}={value!r}" for key, value in sorted(options.items()))


def kind_of(name: str) -> Kind:
    """What a backend of this name is; ConfigurationError for a name that is neither."""
    head, colon, rest = name.partition(":")
    for kind in KINDS:
        if is_registered(kind, head):
            without, after = _ways(find(kind, head))
            if (without and not colon) or (after and rest):
                return kind
            break
    else:
        if head and rest:
            return _kind_of_own(name)
        if name.startswith(_OF_IBM) and is_registered("service", "ibm"):
            raise ConfigurationError(
                f"Unknown backend '{name}'. Did you mean 'ibm:{name}'? Devices are named with "
                f"their vendor before a colon: {', '.join(forms('service'))}."
            )
    raise unknown("backend", name, [form for kind in KINDS for form in forms(kind)])


def check_cloud(name: str) -> None:
    """Raise ConfigurationError unless a backend of this name is a service."""
    if kind_of(name) == "simulator":
        raise ConfigurationError(
            f"Got the backend '{name}', a simulator; expected {', '.join(forms('service'))}, or "
            "module:Class of a service of one's own. Simulators are for training "
            f"(`qhyper train --backend {name}`)."
        )


def check_backend_name(name: str) -> None:
    """Raise ConfigurationError for a name that is nobody's; nothing that is known is imported."""
    head, colon, _ = name.partition(":")
    if not colon and not any(is_registered(kind, head) for kind in KINDS):
        kind_of(name)


def is_cloud(name: str) -> bool:
    """Whether a backend of this name is a service that jobs are sent to; errors as `kind_of`."""
    return kind_of(name) == "service"


def forms(kind: Kind) -> list[str]:
    """How the registered backends of a kind are named, such as mps, aer:statevector, ibm:NAME.

    A class can say it itself, as `forms`.
    """
    found = []
    for name in names(kind):
        try:
            factory = find(kind, name)
        except ConfigurationError:  # what cannot be loaded is still registered
            found.append(name)
            continue
        without, after = _ways(factory)
        listed = [name] * without + [f"{name}:{after.upper()}"] * bool(after)
        found += getattr(factory, "forms", listed)
    return found


def installed() -> list[str]:
    """Names of the simulators that can be built here.

    A class can list its own, by its static method `installed`.
    """
    found = []
    for name in names("simulator"):
        listed = getattr(find("simulator", name), "installed", None)
        found += [name] if listed is None else listed()
    return found


def _ways(factory: Any) -> tuple[bool, str]:
    """(whether it is named without a colon, the argument that can stand after one or nothing)."""
    after = getattr(factory, "after_colon", "")
    if not after:
        return True, ""
    argument = inspect.signature(factory).parameters[after]
    return argument.default is not argument.empty, after


def _kind_of_own(name: str) -> Kind:
    services = ", ".join(forms("service"))
    try:
        found = load_object(name)
    except ConfigurationError as error:
        head, _, rest = name.partition(":")
        registered = [near for kind in KINDS for near in names(kind)]
        near = nearest(head, registered)
        meant = f" Did you mean '{near}:{rest}'?" if near else ""
        raise ConfigurationError(
            f"{error}{meant} Or expected {services}, or module:Class of a backend of one's own."
        ) from error
    if hasattr(found, "compile"):
        return "simulator"
    if not isinstance(found, type) or (hasattr(found, "run") and hasattr(found, "job")):
        return "service"
    raise ConfigurationError(
        f"'{name}' is the class {found.__name__}, which is no backend: expected a simulator, with "
        "the method `compile` (see Backend in qhyper/quantum/backend.py), or a service, with `run` "
        "and `job` (see Service in qhyper/quantum/cloud/door.py)."
    )
