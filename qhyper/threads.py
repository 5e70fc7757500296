"""Threads: several for compiled kernels, one for the small arrays of torch and BLAS.

Kernels release the interpreter's lock. Their waiting threads sleep, so a busy machine costs no more
than the cores it takes; OpenBLAS' spin. Results never depend on the slices of kernels, but how BLAS
rounds depends on its threads.
"""

import functools
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

from qhyper.errors import ConfigurationError
from qhyper.machine import cores

_limit: list[int] = []


def limit_threads(threads: int, *, forked: bool = False) -> None:
    """Use no more threads in this process from now on: for a worker.

    BLAS, if loaded by now, has one: results are to have the same bytes however many workers there
    are. Torch has one where this process was `forked`: if its parent has used several, GNU OpenMP
    would wait for ever for those that did not come along.
    """
    import torch
    from threadpoolctl import threadpool_limits

    _limit[:] = [threads]
    torch.set_num_threads(1 if forked else threads)
    threadpool_limits(1, user_api="blas")


def n_threads() -> int:
    """Number of cores that this process may use."""
    return _limit[0] if _limit else cores()


@functools.cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(n_threads(), thread_name_prefix="qhyper")


if hasattr(os, "register_at_fork"):  # threads do not survive a fork
    os.register_at_fork(after_in_child=_pool.cache_clear)


def in_threads(kernel: Callable[..., None], tasks: int, *args: Any, at_least: int = 1) -> None:
    """Call `kernel(first, last, *args)` on slices of `range(tasks)`, one slice a core.

    A slice has `at_least` tasks: less work than that is not worth waking a thread for.
    """
    slices = min(n_threads(), max(1, tasks // at_least))
    if slices == 1:
        kernel(0, tasks, *args)
        return
    bounds = [tasks * k // slices for k in range(slices + 1)]
    futures = [_pool().submit(kernel, first, last, *args) for first, last in pairwise(bounds)]
    for future in futures:
        future.result()


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """Within, torch uses one thread.

    A generator's tensors are small: more threads would only wait for one another, and on a busy
    machine each of them waits for a core.
    """
    with torch_threads(1):
        yield


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Within, BLAS, which NumPy and SciPy call, uses one thread in the whole process.

    After a call, however small, OpenBLAS' other threads look out for the next one for some
    milliseconds, without sleep. Called again and again, they take cores from kernels for nothing.
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, user_api="blas"):
        yield


@contextmanager
def torch_threads(threads: int) -> Iterator[None]:
    """Within, torch uses so many threads; ConfigurationError for fewer than one."""
    import torch

    if threads < 1:
        raise ConfigurationError(f"Got threads={threads}; expected 1 or more.")
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
