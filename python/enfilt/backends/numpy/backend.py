"""The oracle: every kernel in plain NumPy, written to be read and compared against.

Sums over components are taken in float64, one point at a time, so that nothing of size N x N x D
is made; otherwise nothing here is clever.
"""

from __future__ import annotations

import numpy as np

from ..base import Backend
from ..problems import Array, ObservedComponents, ProjectionScheme, ScoreSums, Stage
from .plain import KINDS, combine, observe, philox_normals, softmax


class NumpyBackend(Backend):
    """Plain NumPy."""

    name = "numpy"
    kinds = KINDS

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
