"""What a prior is: an answer to "which state lies behind this noised one?"."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .. import _checks, backends
from .._values import Value, by_content
from ..backends import Backend
from ..grids import Grid

Array = npt.NDArray[Any]
#: A number for all components, or one a component, (D,).
PerComponent = float | npt.NDArray[np.float64]


@by_content
class Noising(NamedTuple):
    """One moment of a forward process: x = scale x_0 + image_scale g(x_0) + sqrt(variance) eps.

    Attributes
    ----------
    scale : float or ndarray, (D,)
        Of the state x_0, at least zero.
    variance : float or ndarray, (D,)
        Of the noise, above zero.
    image_scale : float
        Of the image g(x_0) of a state under a nonlinear observation operator; 0: none.
    """

    scale: PerComponent
    variance: PerComponent
    image_scale: float = 0.0


@by_content
class Estimate(NamedTuple):
    """Posterior means given a noised state: of the state itself, and of its image if there is one.

    Attributes
    ----------
    state : ndarray, (M, D)
        E[x_0 | x].
    image : ndarray, (M, D), or None
        E[g(x_0) | x].
    """

    state: Array
    image: Array | None


@dataclass(frozen=True, eq=False)
class Setting(Value):
    """What a prior may know of the analysis that asks it; everything has a default.

    Attributes
    ----------
    backend : Backend, optional
        Where pairwise kernels run; default: the best that is there.
    grid : Grid, optional
        Where the components lie.
    basis : ndarray, (D, D), optional
        Orthogonal, with the coordinates that points and levels are given in as columns; None: the
        components themselves.
    image : ndarray, (N, D), optional
        g of the forecast members, for levels with an `image_scale`.
    levels : sequence of Noising
        What will be asked, in the order of the sampler.
    index : int
        Number of the ensemble in its batch.
    """

    backend: Backend | None = None
    grid: Grid | None = None
    basis: Array | None = None
    image: Array | None = None
    levels: Sequence[Noising] = ()
    index: int = 0

    @property
    def kernels(self) -> Backend:
        """The backend, or the best one."""
        return backends.get() if self.backend is None else self.backend

    def rotated(self, forecast: Array) -> Array:
        """Return the members (N, D) in the coordinates of `basis`."""
        if self.basis is None:
            return forecast
        return np.ascontiguousarray(forecast @ self.basis.astype(forecast.dtype))


class FittedPrior(ABC):
    """A prior fitted to one forecast ensemble.

    Attributes
    ----------
    dim : int, optional
        D, where it is known.
    """

    dim: int | None = None

    @abstractmethod
    def estimate(self, x: Array, noising: Noising) -> Estimate:
        """Return the posterior means given noised points.

        Parameters
        ----------
        x : ndarray, (M, D)
            Noised points.
        noising : Noising
            How they were noised.

        Returns
        -------
        Estimate
            In the dtype of `x`.
        """

    @abstractmethod
    def pullback(self, x: Array, noising: Noising, state: Array, image: Array) -> Array:
        """Return the gradient in x of sum(state * E[x_0 | x]) + sum(image * E[g(x_0) | x]).

        Parameters
        ----------
        x : ndarray, (M, D)
            Noised points.
        noising : Noising
            How they were noised.
        state, image : ndarray, (M, D)
            Weights, constant.

        Returns
        -------
        ndarray, (M, D)
        """

    def posterior_mean(self, x: Array, noising: Noising) -> Array:
        """Return E[x_0 | x], (M, D).

        Raises
        ------
        TypeError, ValueError
            If `x` is no array (M, D), or `noising` has no variance above zero.
        FloatingPointError
            If finite numbers overflow, or those of `x` are not finite.
        """
        x, noising = self._checked(x, noising)
        return self._finite(self._estimate(x, noising).state)

    def score(self, x: Array, noising: Noising) -> Array:
        """Return the score of the noised forecast, -(x - E[x | x_0] averaged) / variance.

        By Tweedie's formula (Robbins 1956): the score at x is minus the noise that is expected
        in it, over its variance.

        Raises
        ------
        TypeError, ValueError, FloatingPointError
            As by `posterior_mean`.
        """
        x, noising = self._checked(x, noising)
        estimate = self._estimate(x, noising)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            expected = cast(noising.scale, x) * estimate.state
            if estimate.image is not None:
                expected += cast(noising.image_scale, x) * estimate.image
            result: Array = (expected - x) / cast(noising.variance, x)
        return self._finite(result)

    def _estimate(self, x: Array, noising: Noising) -> Estimate:
        try:
            with np.errstate(over="ignore", invalid="ignore"):  # `_finite` says it better
                return self.estimate(x, noising)
        except np.linalg.LinAlgError as error:
            raise FloatingPointError(
                f"x, the forecast that the prior was fitted to, and noising can't be computed with "
                f"in {x.dtype}: {error}"
            ) from error

    def _checked(self, x: Array, noising: Noising) -> tuple[Array, Noising]:
        points = _checks.ensemble("x", x, members=1, batch=False)
        if self.dim is not None and points.shape[1] != self.dim:
            raise ValueError(f"x has shape {points.shape}: expected (M, {self.dim})")
        scale, variance = noising.scale, noising.variance
        if not np.ndim(scale):
            scale = _checks.number("scale", scale, least=0, most=1e150)
        if not np.ndim(variance):
            variance = _checks.number("variance", variance, above=1e-300, most=1e300)
        return points, noising._replace(scale=scale, variance=variance)

    @staticmethod
    def _finite(result: Array) -> Array:
        if not backends.get().all_finite(result):
            raise FloatingPointError(
                f"x, the forecast that the prior was fitted to, and noising lead to numbers that "
                f"are not finite in {result.dtype}: {_checks.first_bad('result', result)}"
            )
        return result


class Prior(ABC):
    """The forecast distribution as a score filter sees it; fitted in each cycle.

    A new prior defines `fit`.
    """

    @abstractmethod
    def fit(
        self,
        forecast: Array,
        rng: np.random.Generator | None = None,
        setting: Setting = Setting(),
    ) -> FittedPrior:
        """Fit the prior to a forecast ensemble.

        Parameters
        ----------
        forecast : ndarray, (N, D)
            Members, float32 or float64.
        rng : numpy.random.Generator, optional
            For priors that draw.
        setting : Setting
            What is known of the analysis.

        Returns
        -------
        FittedPrior
        """

    def reset(self) -> None:  # noqa: B027 - most remember nothing
        """Forget what was learned from earlier cycles: a new run begins."""

    def state(self) -> Any:
        """Return what was learned from earlier cycles, for a checkpoint: something that pickles."""
        return None

    def restore(self, state: Any) -> None:  # noqa: B027
        """Take back what `state` gave."""


def cast(value: PerComponent, like: Array) -> Any:
    """Return a number or vector in the dtype of an array."""
    return np.asarray(value, dtype=like.dtype)


def check_prior(value: Any) -> Prior:
    """Check an argument that must be a prior."""
    if not isinstance(value, Prior):
        raise TypeError(f"prior={value!r}: expected a prior, such as enfilt.priors.EnsemblePrior()")
    return value


def check_forecast(forecast: Array, setting: Setting) -> Array:
    """Check an ensemble (N, D) that a prior is fitted to."""
    members = _checks.ensemble("forecast", forecast, batch=False)
    _checks.finite("forecast", members, setting.kernels.all_finite)
    return members
