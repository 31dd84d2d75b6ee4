"""The oracle: every kernel in plain NumPy, written to be read and compared against.

Sums over components are taken in float64, one point at a time, so that nothing of size N x N x D
is made; otherwise nothing here is clever.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _arrays
from .base import Array, Backend, ObservedComponents, ProjectionScheme, ScoreSums, Stage

_FUNCTIONS: dict[str, Any] = {
    "identity": lambda x, _: x,
    "arctan": lambda x, _: np.arctan(x),
    "tanh": lambda x, _: np.tanh(x),
    "sigmoid": lambda x, alpha: 1 / (1 + np.exp(-alpha * x)),
    "power_integer": lambda x, p: x ** int(p),
    "power_real": lambda x, p: np.abs(x) ** p * np.sign(x),
}


def observe(x: Array, observed: ObservedComponents) -> Array:
    """Return h(x), (N, m)."""
    if observed.function is not None:
        chosen = x[:, observed.components]
        return observed.function.values(np.ascontiguousarray(chosen))
    components = observed.components
    if not isinstance(components, slice):
        components = _arrays.namespace(x).asarray(components)
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


def philox_normals(key: int, batch: int, step: int, members: int, dim: int) -> Array:
    """Return standard normals (members, dim) in float64, by Box and Muller (1958).

    Component d = 64 g + 16 r + l takes word r of counter (16 g + l, member, step, batch); words
    0, 1 make the normals of r = 0 and 1, words 2, 3 those of r = 2 and 3.
    """
    groups = -(-dim // 64)
    shape = (members, groups, 16)
    quad = np.arange(groups * 16, dtype=np.uint64).reshape(groups, 16)
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
    return np.stack(normals, axis=2).reshape(members, groups * 64)[:, :dim]


class NumpyBackend(Backend):
    """Plain NumPy."""

    name = "numpy"

    def squared_distances(self, x: Array, x1: Array, x0: Array | None, stage: Stage) -> Array:
        centres = combine(x1, x0, stage.a1, stage.a0)
        rows = [np.sum((point - centres) ** 2, axis=1, dtype=np.float64) for point in x]
        return np.array(rows)

    def pairwise_field(
        self,
        x: Array,
        x1: Array,
        x0: Array | None,
        stage: Stage,
        log_weights: Array | None,
        out: Array,
    ) -> None:
        logits = -stage.half_precision * self.squared_distances(x, x1, x0, stage)
        if log_weights is not None:
            logits = logits + log_weights
        weights = softmax(logits).astype(x.dtype)
        if stage.ratio == 0:
            out[...] = weights @ combine(x1, x0, stage.b1, stage.b0)
        else:
            # ratio x and its partner may be large and cancel: the difference comes first
            pull = combine(x1, x0, -stage.b1 / stage.ratio, -stage.b0 / stage.ratio)
            out[...] = x.dtype.type(stage.ratio) * (x - weights @ pull)

    def misfit(self, x: Array, observed: ObservedComponents) -> Array:
        residual = observed.y - observe(x, observed)
        weighted = observed.precision * residual.astype(np.float64) ** 2
        result: Array = 0.5 * np.nansum(weighted, axis=1)
        return result

    def anomaly_grams(self, x: Array, observed: ObservedComponents) -> tuple[Array, Array]:
        def anomalies(a: Array) -> Array:
            b = a.astype(np.float64)
            result: Array = b - b.mean(axis=0)
            return result

        states = anomalies(x)
        seen = np.where(np.isnan(observed.y), 0.0, observed.precision.astype(np.float64))
        values = anomalies(observe(x, observed))
        return states @ states.T, (values * seen) @ values.T

    def score_sums(self, x: Array, truth: Array) -> ScoreSums:
        members = x.shape[0]
        z = x.astype(np.float64)
        error = z.mean(axis=0) - truth
        to_members = np.array([np.sum((z - row) ** 2, axis=1) for row in z])
        apart = sum(np.abs(z - row).sum(axis=0) for row in z)
        absolute = np.abs(z - truth).mean(axis=0)
        crps = absolute - apart / (2 * members**2)
        variance = z.var(axis=0, ddof=1).sum() if members > 1 else 0.0
        return ScoreSums(
            squared_error=float(np.sum(error**2)),
            variance=float(variance),
            crps=float(np.sum(crps)),
            absolute=float(np.sum(absolute)),
            to_members=to_members,
            to_truth=np.sum((z - truth) ** 2, axis=1),
            ranks=np.bincount((x < truth).sum(axis=0), minlength=members + 1).astype(np.int64),
        )

    def lorenz96(self, x: Array, out: Array, dt: float, steps: int, forcing: float) -> None:
        kind = x.dtype.type
        h, f = kind(dt), kind(forcing)

        def tendency(a: Array) -> Array:
            ahead, behind = np.roll(a, -1, axis=1), np.roll(a, 1, axis=1)
            result: Array = (ahead - np.roll(a, 2, axis=1)) * behind - a + f
            return result

        z = x
        for _ in range(steps):
            k1 = tendency(z)
            k2 = tendency(z + h / 2 * k1)
            k3 = tendency(z + h / 2 * k2)
            k4 = tendency(z + h * k3)
            z = z + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        out[...] = z

    def navier_stokes(self, x: Array, out: Array, scheme: ProjectionScheme, steps: int) -> None:
        advection, diffusion, source, dt = scheme.factors()
        quarter, four = x.dtype.type(0.25), x.dtype.type(4)

        def neighbours(a: Array) -> tuple[Array, ...]:
            return tuple(np.roll(a, s, axis) for axis in (-1, -2) for s in (1, -1))

        def predicted(a: Array, u: Array, v: Array) -> Array:
            west, east, south, north = neighbours(a)
            carried = u * (east - west) + v * (north - south)
            spread = (east + west) + (south + north) - four * a
            result: Array = a - advection * carried + diffusion * spread
            return result

        p, u, v = np.moveaxis(x.reshape(-1, 3, scheme.n, scheme.n), 1, 0)
        for _ in range(steps):
            u, v = predicted(u, u, v) + dt * scheme.forcing[:, None], predicted(v, u, v)
            west, east, _, _ = neighbours(u)
            _, _, south, north = neighbours(v)
            b = source * ((east - west) + (north - south))
            for _ in range(scheme.iterations):
                west, east, south, north = neighbours(p)
                p = quarter * ((west + east) + (south + north)) - b
            west, east, south, north = neighbours(p)
            u, v = u - advection * (east - west), v - advection * (north - south)
        out[...] = np.stack([p, u, v], axis=1).reshape(x.shape)

    def normals(self, key: int, batch: int, step: int, out: Array) -> None:
        out[...] = philox_normals(key, batch, step, *out.shape)
