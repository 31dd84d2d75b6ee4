"""Guidance of the flow filter: how the observations bend the forecast's flow field.

Each kind says what it asks of operator and path, what it means for the pairwise weights, and what
it adds to the field; and, where the kernels have it, the numbers that they need for the same. A
new kind is a `Guidance` and a line in `GUIDANCE`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .. import _arrays, _checks
from ..backends import Backend, ObservedComponents, Stage
from ..observation import Observation
from ..paths import AffinePath

Array = npt.NDArray[Any]
GuidanceFunction = Callable[[float, Array, Array, Array, Array, Observation], Array]


class FlowState(NamedTuple):
    """One evaluation of the field: time, stage and its number, points z, velocity v, x_hat."""

    t: float
    stage: Stage
    number: int
    z: Array
    v: Array
    x_hat: Array


@dataclass
class Context:
    """The analysis of one ensemble, for guidance to prepare itself on."""

    x1: Array
    x0: Array | None
    y: Array
    obs: Observation
    observed: ObservedComponents | None
    given: Array | None  # h(x1), where it was given
    stages: list[Stage]
    backend: Backend
    gains: Array | None = None  # what `Guidance.gains` returned, once for all stages
    anomalies: Array | None = None  # of h(x1), once they have been asked for


class Guidance:
    """No guidance: the flow of the forecast itself. Base of the other kinds.

    Attributes
    ----------
    needs_gradient : bool
        Whether the operator must have a `vjp`.
    in_kernels : bool
        Whether the fused kernels have it, for operators that they know.
    observes_in_steps : bool
        Whether the fused kernels need the observations in every step.
    has_gains : bool
        Whether `gains` returns any.
    """

    needs_gradient = False
    in_kernels = True
    observes_in_steps = False
    has_gains = False

    def check_path(self, path: AffinePath) -> None:
        """Raise where this guidance can't go with a path."""

    def log_weights(self, context: Context) -> Array | None:
        """Return l_j, (N,), that join the logarithms of the pairwise weights."""
        return None

    def gains(self, context: Context) -> Array | None:
        """Return one matrix (N, N) a stage, for guidance that works in the ensemble's space."""
        return None

    def drift(self, context: Context, state: FlowState) -> Array | None:
        """Return g, (N, D), to be added to the velocity."""
        return None


class LocalGuidance(Guidance):
    """g = -strength grad J(x_hat), x_hat = z + (1 - t) v (Feng et al. 2025, arXiv:2502.02150)."""

    needs_gradient = True
    observes_in_steps = True

    def drift(self, context: Context, state: FlowState) -> Array | None:
        if not state.stage.strength:
            return None
        gradient = context.obs.gradient(state.x_hat, context.y)
        g: Array = -state.x_hat.dtype.type(state.stage.strength) * gradient
        return g


class MonteCarloGuidance(Guidance):
    """Weight forecast members by their likelihood, l_j = -J(x1_j); needs no gradient."""

    def log_weights(self, context: Context) -> Array:
        if context.observed is not None:
            return -context.backend.misfit(context.x1, context.observed)
        if context.given is not None:
            if context.obs.is_correlated:
                return -context.backend.total(
                    context.obs.misfit_of_values(context.given, context.y)
                )
            seen = context.obs.of_values(context.y)
            return -context.backend.misfit(context.given, seen)
        return -context.backend.total(context.obs.misfit(context.x1, context.y))


class CovarianceGuidance(Guidance):
    """g = b1 K (y - h(E[x1|z])), K the gain of the Gaussian forecast given z.

    With A and Y the anomalies of x1 and h(x1) and c = a1/s, the gain applied to an innovation d is
    A^T Q Y R^-1 d, Q = ((N-1) I + c^2 A A^T + Y R^-1 Y^T)^-1, by the Woodbury identity: all of it
    lives in the space of the ensemble.
    """

    observes_in_steps = True
    has_gains = True

    def check_path(self, path: AffinePath) -> None:
        if path.uses_previous:
            raise ValueError(
                f"guidance='covariance' can't go with path={path.name!r}, on which a point fixes "
                f"its forecast member almost surely: expected path='ot' or 've'"
            )

    def gains(self, context: Context) -> Array:
        x1 = context.x1
        members = x1.shape[0]
        if context.observed is not None:
            states, observed = context.backend.anomaly_grams(x1, context.observed)
        else:
            a = x1.astype(np.float64)
            a -= a.mean(axis=0)
            values = self._anomalies(context)
            states = context.backend.total(a @ a.T)
            y = context.y
            towards = _arrays.namespace(y).where(y == y, 0, y)  # NaN where y is
            observed = context.backend.total(context.obs.weighted(-values, towards) @ values.T)
        xp = _arrays.namespace(x1)
        eye = xp.eye(members)
        stack = [
            (members - 1) * eye + 2 * s.half_precision * (s.a1 * s.a1) * states + observed
            for s in context.stages
        ]
        return _inverses(xp.stack(stack))

    @staticmethod
    def _anomalies(context: Context) -> Array:
        if context.anomalies is None:
            h = context.given
            if h is None:
                h = context.obs.observe(context.x1, context.y.shape[-1])
            h = h.astype(np.float64)
            context.anomalies = h - h.mean(axis=0)
        return context.anomalies

    def drift(self, context: Context, state: FlowState) -> Array:
        u = context.backend.total(
            self._innovation(context, state).astype(np.float64) @ self._anomalies(context).T
        )
        gains = self.gains(context) if context.gains is None else context.gains
        coefficients = u @ gains[state.number].T
        coefficients -= coefficients.mean(axis=1, keepdims=True)
        g: Array = state.stage.b1 * coefficients.astype(state.z.dtype) @ context.x1
        return g

    @staticmethod
    def _innovation(context: Context, state: FlowState) -> Array:
        """Return R^-1 (y - h(E[x1|z])), (N, m); of values that were given, their mixture."""
        z, stage, kernels = state.z, state.stage, context.backend
        if context.given is None:
            # E[x1|z] from the pairwise estimator with the field's coefficients replaced
            mean_of_x1 = stage._replace(ratio=0.0, b1=1.0, b0=0.0)
            x1_hat = kernels.empty(z.shape, z.dtype)
            kernels.pairwise_field(z, context.x1, context.x0, mean_of_x1, None, x1_hat)
            return context.obs.innovation(x1_hat, context.y)
        xp = _arrays.namespace(z)
        distances = kernels.squared_distances(z, context.x1, context.x0, stage)
        nearest = distances.min(axis=1, keepdims=True)
        weights = xp.exp(stage.half_precision * (nearest - distances))
        weights /= weights.sum(axis=1, keepdims=True)
        return context.obs.weighted((weights @ context.given).astype(z.dtype), context.y)


def _inverses(matrices: Array) -> Array:
    """Return the inverses of symmetric positive definite matrices (k, n, n), by Gauss and Jordan.

    Without pivoting, which these need not. LAPACK would be quicker for large n, but the last bits
    of its sums follow the number of its threads, and an analysis must not.
    """
    inverses = matrices.copy()
    for p in range(matrices.shape[-1]):
        pivot = inverses[:, p, p].copy()[:, None]
        row = inverses[:, p] / pivot
        column = inverses[:, :, p].copy()
        inverses -= column[:, :, None] * row[:, None]
        inverses[:, p] = row
        inverses[:, :, p] = -column / pivot
        inverses[:, p, p] = 1 / pivot[:, 0]
    return inverses


class CallableGuidance(Guidance):
    """A function of the user's, g = f(t, z, v, x_hat, y, obs)."""

    in_kernels = False

    def __init__(self, function: GuidanceFunction) -> None:
        self.function = function

    def drift(self, context: Context, state: FlowState) -> Array:
        found = self.function(
            state.t, state.z.copy(), state.v.copy(), state.x_hat, context.y, context.obs
        )
        found = _checks.plain("what guidance returned", found, members=2)
        g: Array = _arrays.beside(state.z, found)
        if g.shape != state.z.shape:
            raise ValueError(
                f"guidance returned shape {g.shape}: expected {state.z.shape}, as the ensemble"
            )
        return g.astype(state.z.dtype, copy=False)


#: Kinds of guidance by name.
GUIDANCE: dict[str, Callable[[], Guidance]] = {
    "none": Guidance,
    "local": LocalGuidance,
    "monte-carlo": MonteCarloGuidance,
    "covariance": CovarianceGuidance,
}


def as_guidance(value: str | GuidanceFunction) -> Guidance:
    """Return the guidance of a name, or of a function."""
    if callable(value):
        return CallableGuidance(value)
    return GUIDANCE[_checks.choice("guidance", value, GUIDANCE)]()
