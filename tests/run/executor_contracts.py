"""What holds of every executor, whoever runs a task.

Imported by the tests of each, whose fixture `made` makes it of (stop, progress, warn).
"""

import json

import pytest

from qhyper.errors import ConfigurationError, JobError, StorageError
from qhyper.run.work import Failure, Task, carry_out


def quiet(*told: object) -> None:
    """Nothing is said."""


def never() -> bool:
    """Go on."""
    return False


@pytest.fixture
def tasks(tmp_path):
    return lambda *names: [
        Task(str(n), tmp_path / str(n), tmp_path / str(n) / "result") for n in names
    ]


def run(tasks, work, make, *, stop=never, progress=quiet, warn=quiet):
    return list(carry_out(tasks, work, make(stop, progress, warn), stop=stop))


def test_what_is_there_is_not_worked_out_again(made, tasks) -> None:
    (there,) = tasks("there")
    there.folder.mkdir()
    there.result.write_bytes(b"whole")
    assert run([there], lambda *a: pytest.fail("worked"), made) == [there]
    assert there.result.read_bytes() == b"whole"


def test_a_large_result_comes_back(made, tasks) -> None:
    (task,) = tasks("large")
    run([task], lambda *a: bytes(10_000_000), made)
    assert task.result.stat().st_size == 10_000_000


def test_a_task_that_raises_is_given_up_and_the_others_go_on(made, tasks) -> None:
    def work(task, stop, progress, warn):
        if task.name == "wrong":
            raise ConfigurationError("it cannot be")
        return b"right"

    wrong, *others = three = tasks("wrong", "one", "other")
    ended = run(three, work, made)
    (failure,) = [each for each in ended if isinstance(each, Failure)]
    assert failure.reason == "it failed with ConfigurationError: it cannot be"
    assert isinstance(failure.error, ConfigurationError)
    assert {each for each in ended if isinstance(each, Task)} == set(others)
    assert json.loads((wrong.folder / "failed.json").read_text()) == {"reason": failure.reason}
    assert [path.name for path in wrong.folder.iterdir()] == ["failed.json"]
    # nobody tries again unless told
    (again,) = run([wrong], lambda *a: pytest.fail("worked"), made)
    assert (again.reason, again.error) == (failure.reason, None)
    wrong.retry()
    assert run([wrong], lambda *a: b"right", made) == [wrong]


@pytest.mark.parametrize("error", [StorageError("full"), JobError("lost")])
def test_what_concerns_all_is_raised_at_once(made, tasks, error) -> None:
    def work(task, stop, progress, warn):
        raise error

    (task,) = tasks("one")
    with pytest.raises(type(error), match=str(error)):
        run([task], work, made)
    assert list(task.folder.iterdir()) == []  # it can be begun again
