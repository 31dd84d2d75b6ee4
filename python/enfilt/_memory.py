"""How much memory there is, asked before a run begins."""

from __future__ import annotations

from typing import Any


def check(needed: int, hint: str) -> None:
    """Check that `needed` bytes are free on the host.

    Raises
    ------
    MemoryError
        If they are not; the message says how much is needed, how much there is, and the hint.
    """
    import psutil  # of use to whole runs alone

    _check(needed, psutil.virtual_memory().available, "memory", hint)


# What an allocation has at hand without asking the driver, which takes longer than a small one.
_ALWAYS_TRIED = 64 << 20


def check_device(cupy: Any, needed: int, hint: str) -> None:
    """Check that `needed` bytes are free on CuPy's current device, or held by its memory pool.

    Raises
    ------
    MemoryError
        As `check`.
    """
    if needed < _ALWAYS_TRIED:
        return
    device = cupy.cuda.Device()
    free = device.mem_info[0] + cupy.get_default_memory_pool().free_bytes()
    _check(needed, free, f"memory of GPU {device.id}", hint)


def _check(needed: int, free: int, what: str, hint: str) -> None:
    if needed > free:
        raise MemoryError(
            f"this needs about {needed / 2**30:.1f} GiB of {what}, and {free / 2**30:.1f} GiB "
            f"are free: {hint}"
        )
