"""Members in blocks, side by side in threads: how models in NumPy use memory and processors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _arrays, _fft

Array = npt.NDArray[Any]

# Components of a block: half a megabyte in float64, so that what a step writes is still in the
# cache when it is read, and enough that a thread is worth its while.
_BLOCK = 2**16


def in_blocks(rows: Array, out: Array, advance: Callable[[Array, Array, int], None]) -> None:
    """Call ``advance(rows, out, workers)`` on blocks of members (M, D).

    A block's transforms may use `workers` threads: those that no other block has.
    """
    if _arrays.on_device(rows):
        advance(rows, out, 1)  # there all members are side by side anyway
        return
    members, dim = rows.shape
    threads = _fft.threads()
    size = max(1, _BLOCK // dim)
    starts = range(0, members, size)
    spare = threads // max(1, len(starts)) if size * dim > 4 * _BLOCK else 1
    blocks = [(rows[k : k + size], out[k : k + size], max(1, spare)) for k in starts]
    if len(blocks) == 1 or threads == 1:
        for block in blocks:
            advance(*block)
        return
    from concurrent.futures import ThreadPoolExecutor  # slow to import

    # what overflows in a thread is no one's to ignore: NumPy's error state belongs to the caller
    state = np.geterr()

    def quietly(block: tuple[Array, Array, int]) -> None:
        with np.errstate(**state):
            advance(*block)

    with ThreadPoolExecutor(min(threads, len(blocks))) as pool:
        list(pool.map(quietly, blocks))  # list(): an error in a thread is raised here
