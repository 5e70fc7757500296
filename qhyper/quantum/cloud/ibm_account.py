"""IBM Quantum: the connection to an account and an instance, and what it knows of a device."""

import copy
import warnings
from typing import Any

from qhyper.errors import ConfigurationError, MissingError, unknown
from qhyper.machine import needs
from qhyper.quantum.cloud.redaction import words_of

_INSTANCES = "https://quantum.cloud.ibm.com/instances"


def needed() -> None:
    """Raise MissingError without IBM's package."""
    with needs("ibm", "IBM Quantum"):
        import qiskit_ibm_runtime.executor_sampler  # noqa: F401


class IBMAccount:
    """An account, connected to the instance that pays; `name` is what messages call the backend.

    `service` is IBM's own service object. Its requests to run a job are sent once, and counted.
    Raises ConfigurationError for an instance that cannot be, MissingError without an account or
    the network.
    """

    def __init__(self, name: str, account: str | None, instance: str | None) -> None:
        from qhyper.quantum.cloud.ibm_transport import Once, mount

        self.name = name
        if instance is None or instance == "auto":
            raise ConfigurationError(
                f"Got {'no instance' if instance is None else 'instance=auto'} for {name}; "
                f"expected the instance that pays (option `instance`, its CRN or name, from "
                f"{_INSTANCES}). IBM would choose one by itself, with free plans first."
            )
        needed()
        self.service = self._connected(account, instance)
        self._check_unique(instance)
        self._once = Once()
        for client in (self.service._active_api_client, *self.service._api_clients.values()):
            mount(client, self._once)

    def _connected(self, account: str | None, instance: str) -> Any:
        from qiskit_ibm_runtime import QiskitRuntimeService
        from qiskit_ibm_runtime.accounts import AccountNotFoundError
        from qiskit_ibm_runtime.exceptions import IBMInputValueError

        try:
            return QiskitRuntimeService(name=account, instance=instance)
        except AccountNotFoundError as error:
            raise MissingError(
                f"{self.name}: no IBM Quantum account: {words_of(error)} Save one once, in Python, "
                "with QiskitRuntimeService.save_account(token=…, name=…) and give its name as the "
                "option `account`; or set QISKIT_IBM_TOKEN. No option takes a token."
            ) from error
        except IBMInputValueError as error:
            raise ConfigurationError(
                f"{self.name}: IBM does not accept the instance '{instance}': {words_of(error)} "
                f"Copy its CRN from {_INSTANCES}."
            ) from error
        except Exception as error:
            raise MissingError(
                f"{self.name}: no connection to IBM Quantum: {words_of(error)} IBM says the same "
                "for a wrong token and for no network: check that "
                "https://quantum.cloud.ibm.com opens from this machine, then the saved account."
            ) from error

    def _check_unique(self, instance: str) -> None:
        """IBM would take the first instance of a name that has the device, whichever pays."""
        crns = [known["crn"] for known in self.service.instances() if known["name"] == instance]
        if len(crns) > 1:
            raise ConfigurationError(
                f"{self.name}: {len(crns)} instances are called '{instance}', and each has its own "
                f"bill: {', '.join(crns)}. Give the CRN of the one that pays as the option "
                "`instance`."
            )

    @property
    def posts(self) -> int:
        """How many POSTs have left this process."""
        return self._once.posts

    def device(self, name: str, *, fractional_gates: bool) -> Any:
        """IBM's backend object; ConfigurationError for a name, or gates, that are not there.

        Raises MissingError if IBM does not describe it.
        """
        from qiskit.providers import QiskitBackendNotFoundError
        from qiskit_ibm_runtime.exceptions import IBMInputValueError

        try:
            return self.service.backend(name, use_fractional_gates=fractional_gates)
        except IBMInputValueError as error:
            raise ConfigurationError(
                f"{self.name} has no fractional gates: {words_of(error)} Leave the option "
                "fractional_gates out."
            ) from error
        except QiskitBackendNotFoundError as error:
            raise self._no_such(name) from error
        except Exception as error:
            raise MissingError(
                f"{self.name}: IBM does not describe the backend: {words_of(error)} Check the "
                "network and the account."
            ) from error

    def _no_such(self, name: str) -> Exception:
        try:
            known = [backend.name for backend in self.service.backends()]
        except Exception:
            known = []
        if name in known or not known:
            return MissingError(
                f"{self.name}: the instance lists no such backend. Check the network, the name, "
                "and which instance was given. Jobs that it has run can still be fetched."
            )
        return unknown("IBM backend", name, known)

    def on_paper(self, device: Any) -> Any:
        """A copy of a device of this account whose requests are written, and never sent."""
        from qhyper.quantum.cloud.ibm_transport import Paper, mount

        paper = copy.deepcopy(device)  # IBM's own copy has a client of its own
        client = paper._api_client
        if client is device._api_client:
            raise MissingError(
                "This version of qiskit-ibm-runtime copies devices in a way that is not known "
                "here: what would be sent cannot be shown."
            )
        mount(client, Paper())
        client._session.auth = None
        service = paper._service = copy.copy(self.service)
        service._active_api_client, service._api_clients = client, {device._instance: client}
        service.backend = lambda *_, **__: paper  # it would be looked up once more
        return paper


def snapshot(name: str) -> Any:
    """A snapshot of a device, which IBM's package has; ConfigurationError for an unknown name."""
    needed()
    from qiskit_ibm_runtime import fake_provider
    from qiskit_ibm_runtime.fake_provider.fake_backend import FakeBackendV2

    known = {
        str(found.backend_name): found
        for found in vars(fake_provider).values()
        if isinstance(found, type) and issubclass(found, FakeBackendV2)
    }
    if name not in known:
        raise unknown("device snapshot", name, known)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one of them says that its errors are not typical
        return known[name]()
