"""Values of services of one's own, refused in words where they are first seen."""

import copy
from dataclasses import replace

import numpy as np
import pytest

from qhyper.errors import ConfigurationError, JobError
from qhyper.quantum.cloud.checked_service import checked
from qhyper.quantum.cloud.door import (
    JobState,
    Limits,
    LocalJob,
    Measured,
    Price,
    Service,
    Unreachable,
    Unreadable,
)

SHAPE = (2, 3, 4)
BITS = np.arange(24).reshape(SHAPE) % 2


class Own(Service):
    """A service that returns what it is told."""

    secret_of_mine = "kept"
    device = None

    def __init__(self, **values):
        self.limits = values.pop("limits", Limits(4))
        self.values = {"job_id": "a1", "state": JobState.DONE, "measured": Measured(BITS)} | values

    def __str__(self):
        return "own"

    def run(self, pubs, shots, *, tag):
        return self.job("")

    def job(self, job_id):
        job = LocalJob(self.values["job_id"], lambda shape, seed: self.values["measured"])
        job.state = lambda: self.values["state"]
        return job

    def find(self, tag):
        return self.values["found"]

    def price(self, planned):
        return self.values["price"]


def test_our_own_adapters_are_left_as_they_are():
    from qhyper.quantum.cloud.qiskit_backend import QiskitService

    ours = object.__new__(QiskitService)
    assert checked(ours) is ours


def test_what_is_right_passes():
    own = Own(limits=Limits(5, rows=np.int64(3), shots=None), found=["a1"], price=Price("x", 0.5))
    service = checked(own)
    assert str(service) == "own"
    assert service.secret_of_mine == "kept"
    assert service.retrievable
    assert service.limits is own.limits
    assert service.find("t") == ["a1"]
    assert service.price([]) == Price("x", 0.5)
    assert str(copy.deepcopy(service)) == "own"
    for job in (service.run([], 3, tag="t"), service.job("a1")):
        assert job.job_id == "a1"
        assert job.message() == ""
        assert job.state() is JobState.DONE
        found = job.measured(SHAPE, seed=1)
        np.testing.assert_array_equal(found.bits, BITS)
        assert found.bits.dtype == np.uint8
    own.values["state"] = "running"  # as text
    assert service.job("a1").state() is JobState.RUNNING


def test_missing_rows_mean_nothing():
    bits = BITS.copy()
    bits[1] = 7
    own = Own(measured=Measured(bits, "half", missing=(np.int64(1),)))
    found = checked(own).job("a1").measured(SHAPE, seed=1)
    assert (found.note, found.missing) == ("half", (1,))
    np.testing.assert_array_equal(found.bits[0], BITS[0])


@pytest.mark.parametrize("number", [None, "", " ", 7, b"a1"])
def test_numbers_of_jobs_are_text(number):
    service = checked(Own(job_id=number, found=["a1", number]))
    for ask in (lambda: service.run([], 3, tag="t"), lambda: service.job("a1")):
        with pytest.raises(
            JobError, match=r"own gave a job the number .*; expected text that is no"
        ):
            ask()
    with pytest.raises(JobError, match=r"own found \['a1', .*; expected a list of the numbers"):
        service.find("t")


@pytest.mark.parametrize("state", ["finished", None, 1])
def test_only_known_states(state):
    message = (
        r"own gave the job a1 the state .*; expected one of queued, running, done, failed, can"
    )
    with pytest.raises(Unreachable, match=message):
        checked(Own(state=state)).job("a1").state()


@pytest.mark.parametrize(
    ("measured", "message"),
    [
        (BITS, "own returned ndarray for what a job measured; expected Measured"),
        (Measured(BITS[:1]), r"shots of shape \(1, 3, 4\); expected .* = \[2, 3, 4\]"),
        (Measured(BITS * 2), "shots that are not zeros and ones"),
        (Measured(BITS - 0.5), "shots that are not zeros and ones"),
        (
            Measured(BITS, missing=(2,)),
            r"the rows \[2\] are missing; expected numbers .* from 0 to 1",
        ),
        (Measured(BITS, missing=("a",)), r"the rows \['a'\] are missing"),
    ],
)
def test_only_bits_as_asked_for(measured, message):
    with pytest.raises(Unreadable, match=message):
        checked(Own(measured=measured)).job("a1").measured(SHAPE, seed=1)


@pytest.mark.parametrize("value", [0, -1, 2.5, "9", True, np.nan])
@pytest.mark.parametrize("name", ["qubits", "rows", "shots", "executions", "gates"])
def test_limits_are_whole_numbers(name, value):
    service = checked(Own(limits=replace(Limits(4), **{name: value})))
    message = rf"own has limits.{name} = .*; expected a whole number from 1, or None for no limit"
    with pytest.raises(ConfigurationError, match=message):
        _ = service.limits


@pytest.mark.parametrize(
    "price", [3.0, Price("x", -1.0), Price("x", np.nan), Price("x", np.inf), Price("x", "1")]
)
def test_prices_are_dollars(price):
    message = "own gave the price .*; expected a Price with an amount in dollars from 0, or None"
    with pytest.raises(ConfigurationError, match=message):
        checked(Own(price=price)).price([])
