"""Counter-based normals for the Numba backend: Philox4x32-10 and the transform of Box and Muller.

The layout of the numbers stands in `reference.philox_normals`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import prange

from ..problems import Array
from .arguments import threads
from .elementary import log_of_normal, sin_of_quarter_turns
from .options import exact, parallel, serial

_LANES = 16  # counters of a group
_GROUP = 4 * _LANES  # components that share them

_MASK = np.uint64(0xFFFFFFFF)
_WORD = np.uint64(32)
_MULTIPLIER_0, _MULTIPLIER_1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_WEYL_0, _WEYL_1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)

# What `normals_of_block` works in: words (4, 16) of uint64, and normals (64,).
Scratch = tuple[Array, Array]


@exact
def _philox(w0: Any, w1: Any, w2: Any, w3: Any, key: Any) -> Any:
    """Return the four words of one counter; all words stand in uint64."""
    key0, key1 = key & _MASK, key >> _WORD
    for _ in range(10):
        p0, p1 = w0 * _MULTIPLIER_0, w2 * _MULTIPLIER_1
        w0, w2 = (p1 >> _WORD) ^ w1 ^ key0, (p0 >> _WORD) ^ w3 ^ key1
        w1, w3 = p1 & _MASK, p0 & _MASK
        key0, key1 = (key0 + _WEYL_0) & _MASK, (key1 + _WEYL_1) & _MASK
    return w0, w1, w2, w3


@serial
def _normals_of_group(
    key: Any, batch: Any, step: Any, member: int, group: int, words: Array, normals: Array
) -> None:
    """Fill `normals` (64,) in float64; `words` (4, 16) is scratch."""
    for lane in range(_LANES):
        quad = np.uint64(group * _LANES + lane) & _MASK
        w0, w1, w2, w3 = _philox(quad, np.uint64(member), step, batch, key)
        words[0, lane], words[1, lane], words[2, lane], words[3, lane] = w0, w1, w2, w3
    for pair in range(2):
        for lane in range(_LANES):
            uniform = (np.float64(words[2 * pair, lane]) + 0.5) / 2.0**32
            radius = math.sqrt(-2.0 * log_of_normal(uniform))
            turns = (np.float64(words[2 * pair + 1, lane]) + 0.5) / 2.0**32
            halves = np.floor(2.0 * turns + 0.5)  # turns = (2 halves + r)/4, |r| <= 1
            r = 4.0 * turns - 2.0 * halves
            signed = -radius if halves == 1.0 else radius
            normals[2 * pair * _LANES + lane] = signed * sin_of_quarter_turns(1.0 - abs(r))
            normals[(2 * pair + 1) * _LANES + lane] = signed * sin_of_quarter_turns(r)


@serial
def normals_of_block(
    key: Any, batch: Any, step: Any, member: int, first: int, n: int, scratch: Scratch, to: Array
) -> None:
    """Write the normals of components [first, first + n) of a member to the first n of `to`."""
    words, normals = scratch
    for group in range(first // _GROUP, (first + n + _GROUP - 1) // _GROUP):
        _normals_of_group(key, batch, step, member, group, words, normals)
        begin = group * _GROUP
        low, high = max(first, begin), min(first + n, begin + _GROUP)
        row, made = to[low - first : high - first], normals[low - begin : high - begin]
        for d in range(row.size):
            row[d] = made[d]


@parallel
def fill_normals(key: Any, batch: Any, step: Any, workers: int, out: Array) -> None:
    """Fill `out` (N, D) with the normals of (key, batch, step), all three uint64."""
    for worker in prange(workers):
        members, dim = out.shape
        groups = (dim + _GROUP - 1) // _GROUP
        words = np.empty((4, _LANES), np.uint64)
        normals = np.empty(_GROUP)
        begin = worker * members * groups // workers
        end = (worker + 1) * members * groups // workers
        for k in range(begin, end):
            member, group = k // groups, k % groups
            _normals_of_group(key, batch, step, member, group, words, normals)
            row = out[member, group * _GROUP : (group + 1) * _GROUP]
            for d in range(row.size):
                row[d] = normals[d]


def normals(key: int, batch: int, step: int, out: Array) -> None:
    """Fill `out` (N, D), with as many threads as there is work for."""
    workers = min(threads(), -(-out.size // 8192))
    fill_normals(np.uint64(key), np.uint64(batch), np.uint64(step), workers, out)
