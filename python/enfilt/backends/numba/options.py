"""How the kernels of the Numba backend are compiled; nothing is compiled at import."""

from __future__ import annotations

import contextlib
import functools
import inspect
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numba

F = TypeVar("F", bound=Callable[..., Any])

# Sums may be taken in another order, which vector lanes need, and products be fused into them; NaN
# and infinities keep their meaning. "numpy": a division by zero raises nothing, which would keep a
# loop from being vectorized.
_LOOPS: dict[str, Any] = {
    "fastmath": {"reassoc", "contract", "nsz"},
    "error_model": "numpy",
    "nogil": True,
}


# Without the entry points from Python: they would be a quarter of the compile time.
_CALLED: dict[str, Any] = {**_LOOPS, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}


class _Threads:
    """Whether threads of kernels run, and whether they did so in the process that forked this one.

    Neither of Numba's thread pools outlives a fork: a loop in the child would wait for threads that
    are not there, or end the process.
    """

    started = False
    lost = False

    @classmethod
    def forked(cls) -> None:
        cls.lost = cls.started

    @classmethod
    def use(cls) -> None:
        if cls.lost:
            raise RuntimeError(
                "backend='numba' can't be used in a process that was forked from one which has "
                "used it: start processes by multiprocessing.get_context('spawn'), or use another "
                "backend"
            )
        cls.started = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_Threads.forked)


def serial(function: F) -> F:
    """Compile a function for kernels to call, one thread each."""
    compiled: F = numba.njit(**_CALLED)(function)
    return compiled


def exact(function: F) -> F:
    """Compile a scalar function whose operations must keep their order, always inlined."""
    options = {**_CALLED, "fastmath": {"contract"}, "forceinline": True}
    compiled: F = numba.njit(**options)(function)
    return compiled


def parallel(function: F) -> F:
    """Compile a function whose loop over `numba.prange` is shared among threads.

    One of its parameters is `workers`, or `cut` with such a field: as many threads are started.
    More would have nothing to do but to be waited for, which on a busy machine is a time slice.
    """
    compiled = _cached(function)
    names = list(inspect.signature(function).parameters)
    position = names.index("workers" if "workers" in names else "cut")

    @functools.wraps(function)
    def call(*arguments: Any) -> None:
        _Threads.use()
        workers = arguments[position]
        usable = numba.get_num_threads()
        numba.set_num_threads(max(1, getattr(workers, "workers", workers)))
        try:
            compiled(*arguments)
        finally:
            numba.set_num_threads(usable)

    return call  # type: ignore[return-value]


def _cached(function: F) -> Any:
    try:
        compiled: Any = numba.njit(**_LOOPS, parallel=True, cache=True)(function)
    except RuntimeError:  # nowhere to write the cache: every process compiles for itself
        return numba.njit(**_LOOPS, parallel=True)(function)
    # A cached kernel is stale when anything that it calls has changed, but Numba looks at the
    # kernel's own file alone; where a version of it keeps the stamp elsewhere, so does this one.
    with contextlib.suppress(AttributeError):
        compiled._cache._cache_file._source_stamp = _stamp()
    return compiled


@functools.cache
def _stamp() -> tuple[tuple[int, int], ...]:
    """Return when the files of kernels were written, and their sizes."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    return tuple((f.stat().st_mtime_ns, f.stat().st_size) for f in files)
