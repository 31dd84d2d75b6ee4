"""The forecast ensemble itself as a prior: a mixture with a component at each member."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _checks
from ..backends import Backend, Stage
from ..backends.numpy.plain import softmax
from .base import (
    Array,
    Estimate,
    FittedPrior,
    Noising,
    PerComponent,
    Prior,
    Setting,
    cast,
    check_forecast,
)


@dataclass(frozen=True)
class EnsemblePrior(Prior):
    """The equal-weight mixture of the forecast members; training-free.

    Parameters
    ----------
    bandwidth : float
        b, from 0 to 1e100. Each member is a Gaussian of variance b^2 times the forecast variance,
        component by component. 0: the empirical forecast, whose exact posterior is its own
        members reweighted.

    Raises
    ------
    TypeError, ValueError
        If the bandwidth is out of its range.

    Notes
    -----
    With centres c_j = scale x1_j and variances V = scale^2 b^2 var + variance, a noised point x
    has weights w_j = softmax_j(-sum_d (x - c_j)_d^2 / (2 V_d)), and component j has the posterior
    mean x1_j + scale b^2 var / V (x - c_j): the estimate is their average.

    Examples
    --------
    >>> import numpy as np, enfilt as ef
    >>> members = np.array([[-1.0], [1.0]])
    >>> fitted = ef.priors.EnsemblePrior().fit(members)
    >>> fitted.posterior_mean(np.array([[0.25], [0.5]]), ef.priors.Noising(1.0, 0.25)).round(4)
    array([[0.7616],
           [0.964 ]])
    """

    bandwidth: float = 0.0

    def __post_init__(self) -> None:
        _checks.python_numbers(self)
        _checks.number("bandwidth", self.bandwidth, least=0, most=1e100)

    def fit(
        self,
        forecast: Array,
        rng: np.random.Generator | None = None,
        setting: Setting = Setting(),  # noqa: B008 - frozen
    ) -> FittedPrior:
        members = setting.rotated(check_forecast(forecast, setting))
        return _Mixture(members, setting.image, float(self.bandwidth), setting.kernels)


class _Mixture(FittedPrior):
    def __init__(
        self, members: Array, image: Array | None, bandwidth: float, backend: Backend
    ) -> None:
        self.members, self.image, self.backend = members, image, backend
        self.bandwidth, self.dim = bandwidth, members.shape[1]
        if bandwidth:
            # Moments of one component: those of the forecast, b^2 times.
            factor = bandwidth**2 / (len(members) - 1)
            x = members - members.mean(axis=0)
            self.state_variance = factor * np.sum(x**2, axis=0, dtype=np.float64)
            if image is not None:
                g = image - image.mean(axis=0)
                self.covariance = factor * np.sum(x * g, axis=0, dtype=np.float64)
                self.image_variance = factor * np.sum(g**2, axis=0, dtype=np.float64)

    def estimate(self, x: Array, noising: Noising) -> Estimate:
        if not self.bandwidth and not (np.ndim(noising.scale) or np.ndim(noising.variance)):
            return self._by_kernel(x, noising)
        weights, centres, state_gain, image_gain = self._mixture(x, noising)
        residual = x - weights @ centres
        state = weights @ self.members + cast(state_gain, x) * residual
        if self.image is None:
            return Estimate(state, None)
        return Estimate(state, weights @ self.image + cast(image_gain, x) * residual)

    def _by_kernel(self, x: Array, noising: Noising) -> Estimate:
        """Average the empirical forecast by the pairwise kernel, which has one scale and width."""

        def mean(of_state: float, of_image: float) -> Array:
            stage = Stage(
                a1=float(noising.scale),
                a0=noising.image_scale,
                half_precision=0.5 / float(noising.variance),
                ratio=0.0,
                b1=of_state,
                b0=of_image,
                remaining=0.0,
                strength=0.0,
            )
            out = np.empty_like(x)
            self.backend.pairwise_field(x, self.members, self.image, stage, None, out)
            return out

        return Estimate(mean(1.0, 0.0), None if self.image is None else mean(0.0, 1.0))

    def _mixture(
        self, x: Array, noising: Noising
    ) -> tuple[Array, Array, PerComponent, PerComponent]:
        """Return weights (M, N), centres (N, D), and the gains of a component's two means."""
        scale, image_scale = noising.scale, noising.image_scale
        centres = cast(scale, x) * self.members
        if self.image is not None:
            centres = centres + cast(image_scale, x) * self.image
        state_gain: PerComponent = 0.0
        image_gain: PerComponent = 0.0
        width = self._width(noising)
        if self.bandwidth:
            state_gain = np.asarray(scale) * self.state_variance
            if self.image is not None:
                state_gain = state_gain + image_scale * self.covariance
                image_gain = image_scale * self.image_variance + scale * self.covariance
            state_gain, image_gain = state_gain / width, image_gain / width
        # in units of the width, the distances are the kernel's
        unit = cast(1 / np.sqrt(width), x)
        stage = Stage(1.0, 0.0, 0.5, 0.0, 1.0, 0.0, 0.0, 0.0)
        points, scaled = np.ascontiguousarray(unit * x), np.ascontiguousarray(unit * centres)
        distances = self.backend.squared_distances(points, scaled, None, stage)
        return softmax(-0.5 * distances).astype(x.dtype), centres, state_gain, image_gain

    def _width(self, noising: Noising) -> Any:
        """Return V, the variance of a component of the noised mixture."""
        width: Any = np.asarray(noising.variance, dtype=np.float64)
        if self.bandwidth:
            a, b = noising.scale, noising.image_scale
            width = width + np.square(a) * self.state_variance
            if self.image is not None:
                width = width + 2 * a * b * self.covariance + b**2 * self.image_variance
        return width

    def pullback(self, x: Array, noising: Noising, state: Array, image: Array) -> Array:
        # d w_ij / d x_i = w_ij (c_j - sum_k w_ik c_k) / V
        weights, centres, state_gain, image_gain = self._mixture(x, noising)
        direct = cast(state_gain, x) * state + cast(image_gain, x) * image
        values = state @ self.members.T - direct @ centres.T
        if self.image is not None:
            values += image @ self.image.T
        values -= np.sum(weights * values, axis=1, keepdims=True)
        moved = (weights * values) @ centres
        result: Array = direct + moved / cast(self._width(noising), x)
        return result
