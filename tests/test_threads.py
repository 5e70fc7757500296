"""Slices of work in threads: everything once, errors not swallowed."""

import os
import threading

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info, threadpool_limits

from classical.binarized import BinarizedNetwork
from classical.fit_images import accuracy as image_accuracy
from classical.fit_images import fit_images
from classical.straight_through import StraightThroughNetwork
from classical.supervised import accuracy, fit_classifier
from qhyper import threads
from qhyper.data.images import Images
from qhyper.data.samples import Samples
from qhyper.hypernetwork import build_generator
from qhyper.targets.exact.table import CostTable
from qhyper.training.minimise import minimise
from qhyper.training.settings import TrainingSettings
from qhyper.training.trainer import Trainer


@pytest.fixture(autouse=True)
def own_pool():
    threads._pool.cache_clear()
    yield
    if threads._pool.cache_info().currsize:
        threads._pool().shutdown()
    threads._pool.cache_clear()


def slices_of(tasks, **options):
    """The slices in which `tasks` tasks are done, sorted, and the names of their threads."""
    lock, got, names = threading.Lock(), [], []

    def kernel(first, last, *args):
        assert args == ("a", 1)
        with lock:
            got.append((first, last))
            names.append(threading.current_thread().name)

    threads.in_threads(kernel, tasks, "a", 1, **options)
    return sorted(got), names


def test_the_number_of_threads_is_that_of_the_cores_at_hand():
    assert 1 <= threads.n_threads() <= os.cpu_count()


def test_without_affinity_all_cores_count(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert threads.n_threads() == 6
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert threads.n_threads() == 1


@pytest.mark.parametrize("cores", [1, 2, 3, 8])
@pytest.mark.parametrize("tasks", [0, 1, 2, 7, 100])
def test_every_task_is_done_once(monkeypatch, cores, tasks):
    monkeypatch.setattr(threads, "n_threads", lambda: cores)
    slices, _ = slices_of(tasks)
    assert [task for first, last in slices for task in range(first, last)] == list(range(tasks))
    assert len(slices) == max(1, min(cores, tasks))
    sizes = [last - first for first, last in slices]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize(("tasks", "number"), [(9, 1), (10, 1), (19, 1), (20, 2), (35, 3), (90, 4)])
def test_a_slice_has_at_least_so_many_tasks(monkeypatch, tasks, number):
    monkeypatch.setattr(threads, "n_threads", lambda: 4)
    slices, _ = slices_of(tasks, at_least=10)
    assert len(slices) == number
    assert number == 1 or min(last - first for first, last in slices) >= 10


def test_one_slice_stays_in_this_thread(monkeypatch):
    monkeypatch.setattr(threads, "n_threads", lambda: 4)
    here = threading.current_thread().name
    assert slices_of(5, at_least=5)[1] == [here]
    _, names = slices_of(5)
    assert all(name.startswith("qhyper") for name in names)


def test_slices_run_at_the_same_time(monkeypatch):
    monkeypatch.setattr(threads, "n_threads", lambda: 3)
    together = threading.Barrier(3, timeout=30)
    threads.in_threads(lambda first, last: together.wait(), 3)


def test_an_error_in_a_slice_is_raised(monkeypatch):
    monkeypatch.setattr(threads, "n_threads", lambda: 3)

    def kernel(first, last):
        if first == 2:
            raise ZeroDivisionError("in slice 2")

    with pytest.raises(ZeroDivisionError, match="in slice 2"):
        threads.in_threads(kernel, 3)


def step_of_a_trainer(see):
    generator = build_generator("bernoulli", 3)
    trainer = Trainer(generator, lambda bits: see(bits.mean(axis=-1)), TrainingSettings())
    for _ in range(2):  # in a loop of one's own
        trainer.advance()


def epochs_of_a_binarised_network(see):
    rng = np.random.default_rng(0)
    images = Images(rng.integers(0, 256, (8, 4), dtype=np.uint8), np.arange(8) % 2)
    network = BinarizedNetwork((4, 3, 2), binarisation="deterministic")
    fit_images(network, images, images, epochs=2, batch=4, learning_rate=0.1, progress=see)
    network.register_forward_hook(lambda *arguments: see(None))
    image_accuracy(network, images)


def epochs_of_a_classifier(see):
    data = Samples(np.eye(4), np.arange(4) % 2)
    network = StraightThroughNetwork((4, 3, 2))
    network.register_forward_hook(lambda *arguments: see(None))
    fit_classifier(network, data, epochs=2, batch=4, learning_rate=0.1)
    accuracy(network, data)


@pytest.mark.parametrize(
    "loop", [step_of_a_trainer, epochs_of_a_binarised_network, epochs_of_a_classifier]
)
def test_loops_leave_torch_one_thread_and_give_back_the_users_own(loop):
    """On a machine with others at work, several threads take ten times as long."""
    seen, before = [], torch.get_num_threads()

    def see(passed):
        seen.append(torch.get_num_threads())
        return passed

    torch.set_num_threads(3)
    try:
        loop(see)
        assert torch.get_num_threads() == 3
        with pytest.raises(ZeroDivisionError, match="division by zero"):
            loop(lambda passed: 1 / 0)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    assert len(seen) >= 2
    assert set(seen) == {1}


def blas_threads():
    """Threads of each BLAS that is loaded: those of NumPy and SciPy may be two."""
    return {blas["num_threads"] for blas in threadpool_info() if blas["user_api"] == "blas"}


def test_minimise_leaves_blas_one_thread_and_gives_back_the_users_own():
    """Threads of OpenBLAS that wait for more spin, on cores that kernels need."""
    seen, generator = [], build_generator("bernoulli", 3, seeds=[0, 1])
    table = CostTable(np.arange(8.0))
    with threadpool_limits(2, user_api="blas"):
        before = blas_threads()
        minimise(generator, table, on_replica=lambda *found: seen.append(blas_threads()))
        assert blas_threads() == before
        with pytest.raises(ZeroDivisionError, match="division by zero"):
            minimise(generator, table, on_replica=lambda *found: 1 / 0)
        assert blas_threads() == before
    assert seen == [{1}, {1}]


@pytest.mark.skipif(not hasattr(os, "register_at_fork"), reason="no fork on this system")
def test_a_forked_child_has_threads_of_its_own(tmp_path):
    # In a process of its own, as this one has threads of torch and numba.
    import subprocess
    import sys

    program = """
import os, warnings
from qhyper import threads
threads.n_threads = lambda: 2
threads.in_threads(lambda first, last: None, 2)
warnings.simplefilter("ignore")  # Python warns of a fork with threads: that is what is tested
child = os.fork()
if child == 0:
    threads.in_threads(lambda first, last: None, 2)
    os._exit(7)
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, timeout=60, check=False)
    assert done.returncode == 7
