"""Threads for parts of a separation that do not wait for each other, so that it uses two cores.

Every thread computes on one core: the matrix products are small, and more threads for one product wait for each other.
The thread of the caller is the only one that reads audio and reports progress.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cache

from threadpoolctl import threadpool_limits


@cache
def ahead() -> ThreadPoolExecutor:
    """Return the thread for work that runs ahead of the caller, in the order in which it is submitted."""
    return ThreadPoolExecutor(1, thread_name_prefix="stemline-ahead", initializer=_use_one_core)


@cache
def beside() -> ThreadPoolExecutor:
    """Return the thread for parts of a computation; a part must not wait for another one."""
    return ThreadPoolExecutor(1, thread_name_prefix="stemline-beside", initializer=_use_one_core)


def _use_one_core() -> None:
    """Limit the thread, for which OpenMP has a limit of its own."""
    import torch  # noqa: F401, PLC0415 - its OpenMP has to be loaded, to be limited

    threadpool_limits(1)
