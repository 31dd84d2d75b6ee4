"""What the oracles share: functions of a state, softmax, and Philox's normals."""

from __future__ import annotations

from typing import Any

import numpy as np

from ... import _arrays
from ..problems import Array, ObservedComponents

_FUNCTIONS: dict[str, Any] = {
    "identity": lambda x, _: x,
    "arctan": lambda x, _: np.arctan(x),
    "tanh": lambda x, _: np.tanh(x),
    "sigmoid": lambda x, alpha: 1 / (1 + np.exp(-alpha * x)),
    "power_integer": lambda x, p: x ** int(p),
    "power_real": lambda x, p: np.abs(x) ** p * np.sign(x),
}


#: What `observe` evaluates.
KINDS = frozenset([*_FUNCTIONS, "function"])


def observe(x: Array, observed: ObservedComponents) -> Array:
    """Return h(x), (N, m)."""
    if observed.function is not None:
        chosen = x[:, observed.components]
        return observed.function.values(np.ascontiguousarray(chosen))
    components = observed.components
    if not isinstance(components, slice):
        components = _arrays.beside(x, components)
    with np.errstate(over="ignore"):  # of the sigmoid's exponential: the result is right, zero
        h: Array = _FUNCTIONS[observed.kind](x[:, components], observed.parameter)
    return h.astype(x.dtype, copy=False)


def combine(x1: Array, x0: Array | None, c1: float, c0: float) -> Array:
    """Return c1 x1 + c0 x0 in the dtype of x1."""
    result: Array = x1.dtype.type(c1) * x1
    if x0 is not None:
        result = result + x1.dtype.type(c0) * x0
    return result


def softmax(log_weights: Array) -> Array:
    """Return weights whose rows sum to one, however small all of a row's logarithms are."""
    shifted = np.exp(log_weights - log_weights.max(axis=-1, keepdims=True))
    result: Array = shifted / shifted.sum(axis=-1, keepdims=True)
    return result


def standardized(x: Array) -> Array:
    """Return x (N, D) with mean 0 and standard deviation 1 (N - 1) over the members.

    A component that is the same in all members becomes 0.
    """
    anomalies = x - x.mean(axis=0)
    deviation = anomalies.std(axis=0, ddof=1)
    varies = deviation > 0
    result: Array = np.where(varies, anomalies / np.where(varies, deviation, 1), 0)
    return result.astype(x.dtype, copy=False)


def philox_words(counter: list[Array], key: int) -> list[Array]:
    """Return the four words of Philox4x32-10 for four arrays of counter words (uint64).

    Salmon, Moraes, Dror, Shaw (2011), "Parallel random numbers: as easy as 1, 2, 3".
    """
    mask = np.uint64(0xFFFFFFFF)
    shift = np.uint64(32)
    multiplier = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
    keys = [key & 0xFFFFFFFF, key >> 32]
    w0, w1, w2, w3 = counter
    for _ in range(10):
        p0, p1 = w0 * multiplier[0], w2 * multiplier[1]
        w0 = (p1 >> shift) ^ w1 ^ np.uint64(keys[0])
        w2 = (p0 >> shift) ^ w3 ^ np.uint64(keys[1])
        w1, w3 = p1 & mask, p0 & mask
        keys = [(keys[0] + 0x9E3779B9) & 0xFFFFFFFF, (keys[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return [w0, w1, w2, w3]


def philox_normals(
    key: int, batch: int, step: int, members: int, dim: int, *, first: int = 0
) -> Array:
    """Return standard normals (members, dim) in float64, by Box and Muller (1958).

    They are those of components from `first` on.

    Component d = 64 g + 16 r + l takes word r of counter (16 g + l, member, step, batch); words
    0, 1 make the normals of r = 0 and 1, words 2, 3 those of r = 2 and 3.
    """
    before, skipped = divmod(first, 64)
    groups = -(-(skipped + dim) // 64)
    shape = (members, groups, 16)
    quad = np.arange(16 * before, 16 * (before + groups), dtype=np.uint64).reshape(groups, 16)
    member = np.arange(members, dtype=np.uint64)[:, None, None]
    counter = [
        np.broadcast_to(word, shape)
        for word in (quad & np.uint64(0xFFFFFFFF), member, np.uint64(step), np.uint64(batch))
    ]
    uniform = [(w + 0.5) / 2.0**32 for w in philox_words(counter, key)]
    normals = []
    for radius, angle in (uniform[:2], uniform[2:]):
        r = np.sqrt(-2 * np.log(radius))
        normals += [r * np.cos(2 * np.pi * angle), r * np.sin(2 * np.pi * angle)]
    rows = np.stack(normals, axis=2).reshape(members, groups * 64)
    return rows[:, skipped : skipped + dim]
