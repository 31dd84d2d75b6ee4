"""How much memory there is, asked before a run begins."""

from __future__ import annotations

import psutil


def check(needed: int, hint: str) -> None:
    """Check that `needed` bytes are free.

    Raises
    ------
    MemoryError
        If they are not; the message says how much is needed, how much there is, and the hint.
    """
    free = psutil.virtual_memory().available
    if needed > free:
        raise MemoryError(
            f"this needs about {needed / 2**30:.1f} GiB of memory, and {free / 2**30:.1f} GiB "
            f"are free: {hint}"
        )
